// SPDX-License-Identifier: BSD-3-Clause
// The epilogue of sums that a micro-kernel has left in memory, because registers are no place for
// it: the activations of many instructions, and vectors of which a part is there.
#pragma once

#include "common/simd/finish.h"

namespace cnnext {
namespace {

template <Activation kActivation, int N>
void finish_with(float* sums, int64_t row, int64_t rows, int64_t columns, const TileEpilogue& e) {
  const bool adds = e.residual != nullptr;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; j += N) {
      const int64_t count = min(N, columns - j);
      float* const at = sums + i * row + j;
      f32<N> y = load_partial<N>(at, count);
      if (e.bias != nullptr) {
        y += e.bias_column == 0 ? broadcast<N>(e.bias[i * e.bias_row])
                                : load_partial<N>(e.bias + j, count);
      }
      f32<N> residual{};
      if (adds) residual = load_partial<N>(e.residual + i * e.residual_row + j, count);
      if (adds && !e.residual_after) y += residual;
      y = activate<kActivation, N>(y, e.parameters);
      if (adds && e.residual_after) y += residual;
      store_partial<N>(at, y, count);
    }
  }
}

}  // namespace

// Defines what finish.h declares, for vectors of kLanes.
#define CNNEXT_DEFINE_FINISH_IN_MEMORY                                                   \
  template <>                                                                            \
  void finish_in_memory<kLanes>(float* sums, int64_t row, int64_t rows, int64_t columns, \
                                const TileEpilogue& e) {                                 \
    switch (e.activation) { CNNEXT_FOR_ACTIVATIONS(CNNEXT_FINISH_WITH) }                 \
  }
#define CNNEXT_FINISH_WITH(name) \
  case Activation::name:         \
    return finish_with<Activation::name, kLanes>(sums, row, rows, columns, e);

}  // namespace cnnext
