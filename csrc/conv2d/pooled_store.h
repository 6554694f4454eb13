// SPDX-License-Identifier: BSD-3-Clause
// Where a shape is pooled, a kernel leaves finished outputs in scratch, which stays in L1, and the
// result gets from there the maximum of each window of 2x2: memory never holds the outputs.
#pragma once

#include "common/simd/simd.h"

namespace cnnext {
namespace {

// As in ATen NaN wins, and of two zeros the first.
template <int N>
CNNEXT_INLINE f32<N> larger_or_nan(f32<N> a, f32<N> b) {
  return (b > a) | (b != b) ? b : a;
}

// The maxima of `rows` x `columns` pixels, both even, of which src holds whole vectors of channels;
// dst may be src.
template <int N>
void store_pooled(const float* src, int64_t src_row, int64_t src_pixel, int64_t rows,
                  int64_t columns, int64_t channels, float* dst, int64_t dst_row,
                  int64_t dst_pixel) {
  for (int64_t i = 0; i < rows / 2; ++i) {
    for (int64_t j = 0; j < columns / 2; ++j) {
      const float* const from = src + 2 * (i * src_row + j * src_pixel);
      float* const to = dst + i * dst_row + j * dst_pixel;
      for (int64_t k = 0; k < channels; k += N) {
        const f32<N> upper = larger_or_nan<N>(load<N>(from + k), load<N>(from + src_pixel + k));
        const f32<N> lower =
            larger_or_nan<N>(load<N>(from + src_row + k), load<N>(from + src_row + src_pixel + k));
        store_partial<N>(to + k, larger_or_nan<N>(upper, lower), min(N, channels - k));
      }
    }
  }
}

}  // namespace
}  // namespace cnnext
