// SPDX-License-Identifier: BSD-3-Clause
// The epilogue (common/kernel/epilogue.h) of a tile of sums that lie in registers, right before its
// last store:
//
//   y[i][j] = act(sum[i][j] + b + r) or act(sum[i][j] + b) + r
//
// where b is bias[i * bias_row + j * bias_column], and r is residual[i * residual_row + j].
//
// What most layers have is done where the sums are: a bias, then a residual, then bounds, each an
// instruction or two a vector; a branch a tile chooses. The rest goes through memory to a function
// that an ISA has once (csrc/epilogue): among dozens of sizes of tiles in each of the
// micro-kernels, eleven activations would be a megabyte of code, and minutes of compilation.
#pragma once

#include "common/simd/activations.h"

namespace cnnext {

// An epilogue as a tile sees it: `bias` and `residual` belong to its first element.
struct TileEpilogue {
  const float* bias = nullptr;            // null: 0
  int64_t bias_row = 0, bias_column = 0;  // one of them 1 at most, and the other 0
  const float* residual = nullptr;        // null: 0
  int64_t residual_row = 0;
  bool residual_after = false;
  Activation activation = Activation::none;
  ActivationParameters<float> parameters;

  CNNEXT_INLINE bool is_empty() const {
    return bias == nullptr && residual == nullptr && activation == Activation::none;
  }

  CNNEXT_INLINE bool is_bounded_sum() const {
    return activation <= Activation::clamp &&
           (residual == nullptr || !residual_after || activation == Activation::none);
  }

  // Where vectors hold channels but the result lies in planes: what is done before the
  // transposition, and what after it.
  CNNEXT_INLINE TileEpilogue bias_alone() const {
    TileEpilogue e;
    e.bias = bias;
    e.bias_column = 1;
    return e;
  }
  CNNEXT_INLINE TileEpilogue without_bias() const {
    TileEpilogue e = *this;
    e.bias = nullptr;
    return e;
  }

  // That of what begins so many elements into the memory of a residual, without a bias.
  CNNEXT_INLINE TileEpilogue at_offset(int64_t elements) const {
    TileEpilogue e = *this;
    if (residual != nullptr) e.residual += elements;
    return e;
  }

  // That of a tile whose first element lies so many rows below and columns to the right.
  CNNEXT_INLINE TileEpilogue at(int64_t row, int64_t column) const {
    TileEpilogue e = *this;
    if (bias != nullptr) e.bias += row * bias_row + column * bias_column;
    if (residual != nullptr) e.residual += row * residual_row + column;
    return e;
  }
};

// That of a matrix whose rows are pixels and whose columns are channels, so many of them.
CNNEXT_INLINE TileEpilogue epilogue_of_pixels(const Epilogue<float>& e, int64_t channels) {
  TileEpilogue tile;
  tile.bias = e.bias;
  tile.bias_column = 1;
  tile.residual = e.residual;
  tile.residual_row = pixel_distance(e.residual_pixel, channels);
  tile.residual_after = e.residual_after;
  tile.activation = e.activation;
  tile.parameters = e.parameters;
  return tile;
}

// That of a matrix whose rows are channels, `plane` elements apart, and whose columns are pixels.
CNNEXT_INLINE TileEpilogue epilogue_of_planes(const Epilogue<float>& e, int64_t plane) {
  TileEpilogue tile = epilogue_of_pixels(e, plane);
  tile.bias_row = 1;
  tile.bias_column = 0;
  return tile;
}

// The same of sums in memory, of which `columns` lie side by side and rows `row` apart.
template <int N>
void finish_in_memory(float* sums, int64_t row, int64_t rows, int64_t columns,
                      const TileEpilogue& e);

#define CNNEXT_DECLARE(lanes)                                                           \
  template <>                                                                           \
  void finish_in_memory<lanes>(float* sums, int64_t row, int64_t rows, int64_t columns, \
                               const TileEpilogue& e);
CNNEXT_DECLARE(4)
CNNEXT_DECLARE(8)
CNNEXT_DECLARE(16)
#undef CNNEXT_DECLARE

namespace {

// The last vector of a row, of which `rest` columns are there: all, where a part takes more than an
// instruction.
template <int N>
CNNEXT_INLINE f32<N> load_last(const float* p, int64_t rest) {
  if constexpr (kMasksPartial<N>) return load_partial<N>(p, rest);
  return load<N>(p);
}

template <int N, int Rows, int Vectors>
CNNEXT_INLINE void add_bias(f32<N> (&sums)[Rows][Vectors], const TileEpilogue& e, int64_t rest) {
  if (e.bias_column == 0) {
    CNNEXT_UNROLL(16)
    for (int i = 0; i < Rows; ++i) {
      const f32<N> bias = broadcast<N>(e.bias[i * e.bias_row]);
      for (int j = 0; j < Vectors; ++j) sums[i][j] += bias;
    }
    return;
  }
  CNNEXT_UNROLL(16)
  for (int j = 0; j < Vectors; ++j) {
    const float* const from = e.bias + j * N;
    const f32<N> bias = j < Vectors - 1 ? load<N>(from) : load_last<N>(from, rest);
    CNNEXT_UNROLL(16)
    for (int i = 0; i < Rows; ++i) sums[i][j] += bias;
  }
}

template <int N, int Rows, int Vectors>
CNNEXT_INLINE void add_residual(f32<N> (&sums)[Rows][Vectors], const TileEpilogue& e,
                                int64_t rest) {
  constexpr int kLast = Vectors - 1;
  CNNEXT_UNROLL(16)
  for (int i = 0; i < Rows; ++i) {
    const float* const from = e.residual + i * e.residual_row;
    for (int j = 0; j < kLast; ++j) sums[i][j] += load<N>(from + j * N);
    sums[i][kLast] += load_last<N>(from + kLast * N, rest);
  }
}

template <int N, int Rows, int Vectors, class F>
CNNEXT_INLINE void for_each_sum(f32<N> (&sums)[Rows][Vectors], const F& f) {
  CNNEXT_UNROLL(16)
  for (int i = 0; i < Rows; ++i) {
    for (int j = 0; j < Vectors; ++j) f(i, j, sums[i][j]);
  }
}

// Whether sums can be finished in registers, with `rest` columns of a last vector.
template <int N>
CNNEXT_INLINE bool suits_registers(const TileEpilogue& e, int64_t rest) {
  return e.is_bounded_sum() && (kMasksPartial<N> || rest == N);
}

template <int N, int Rows, int Vectors>
CNNEXT_INLINE void finish_in_registers(f32<N> (&sums)[Rows][Vectors], const TileEpilogue& e,
                                       int64_t rest) {
  if (e.bias != nullptr) add_bias<N>(sums, e, rest);
  if (e.residual != nullptr) add_residual<N>(sums, e, rest);
  if (e.activation == Activation::none) return;
  ActivationParameters<float> bounds = e.parameters;
  if (e.activation == Activation::relu) {
    bounds.low = 0;
    bounds.high = __builtin_inff();
  }
  for_each_sum<N>(
      sums, [&](int, int, f32<N>& sum) { sum = activate<Activation::clamp, N>(sum, bounds); });
}

// Each row of the tile has `columns` elements: some of the last vector, and all before it.
template <int N, int Rows, int Vectors>
CNNEXT_INLINE void finish(f32<N> (&sums)[Rows][Vectors], const TileEpilogue& e, int64_t columns) {
  const int64_t rest = columns - (Vectors - 1) * N;
  if (suits_registers<N>(e, rest)) return finish_in_registers<N>(sums, e, rest);
  float tile[Rows * Vectors * N];
  for_each_sum<N>(sums,
                  [&](int i, int j, f32<N>& sum) { store<N>(tile + (i * Vectors + j) * N, sum); });
  finish_in_memory<N>(tile, Vectors * N, Rows, columns, e);
  for_each_sum<N>(sums,
                  [&](int i, int j, f32<N>& sum) { sum = load<N>(tile + (i * Vectors + j) * N); });
}

// The same of sums that lie in c already.
template <int N>
CNNEXT_INLINE void finish_rows(float* c, int64_t c_row, int64_t rows, int64_t columns,
                               const TileEpilogue& e) {
  if (!e.is_empty()) finish_in_memory<N>(c, c_row, rows, columns, e);
}

}  // namespace
}  // namespace cnnext
