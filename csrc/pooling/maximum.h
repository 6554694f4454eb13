// SPDX-License-Identifier: BSD-3-Clause
// What max-pools compute with on vectors: the running maximum of N windows.
#pragma once

#include "common/simd/simd.h"

namespace cnnext {
namespace {

// The running maximum of N windows and where it is: an offset in the window or the plane. As in
// ATen the first maximum wins a tie, and the last NaN over everything, or NaN is never taken.
template <int N>
struct Maximum {
  f32<N> value;
  i32<N> offset;

  CNNEXT_INLINE void start(f32<N> first, int32_t first_offset) {
    value = first;
    offset = i32<N>{} + first_offset;
  }

  CNNEXT_INLINE void take(f32<N> candidate, int32_t candidate_offset) {
#if defined(__AVX512F__)
    if constexpr (N == 16) {
      const __mmask16 larger = _mm512_cmp_ps_mask(candidate, value, _CMP_GT_OQ);
      const __mmask16 nan = _mm512_cmp_ps_mask(candidate, candidate, _CMP_UNORD_Q);
      const __mmask16 wins = _kor_mask16(larger, nan);
      value = _mm512_mask_mov_ps(value, wins, candidate);
      offset = reinterpret_cast<i32<N>>(
          _mm512_mask_set1_epi32(reinterpret_cast<__m512i>(offset), wins, candidate_offset));
      return;
    }
#endif
    const i32<N> wins = (candidate > value) | (candidate != candidate);
    value = wins ? candidate : value;
    offset = wins ? i32<N>{} + candidate_offset : offset;
  }

  CNNEXT_INLINE void take_number(f32<N> candidate, int32_t candidate_offset) {
#if defined(__AVX512F__)
    if constexpr (N == 16) {
      const __mmask16 wins = _mm512_cmp_ps_mask(candidate, value, _CMP_GT_OQ);
      value = _mm512_mask_mov_ps(value, wins, candidate);
      offset = reinterpret_cast<i32<N>>(
          _mm512_mask_set1_epi32(reinterpret_cast<__m512i>(offset), wins, candidate_offset));
      return;
    }
#endif
    const i32<N> wins = candidate > value;
    value = wins ? candidate : value;
    offset = wins ? i32<N>{} + candidate_offset : offset;
  }

  CNNEXT_INLINE void store_value(float* p) const { store<N>(p, value); }

  CNNEXT_INLINE void store_offsets(uint8_t* p) const {
    typedef uint8_t u8 __attribute__((vector_size(N)));
    const u8 bytes = __builtin_convertvector(offset, u8);
    __builtin_memcpy(p, &bytes, N);
  }

  CNNEXT_INLINE void store_positions(int64_t* p) const {
    for (int lane = 0; lane < N; ++lane) p[lane] = offset[lane];
  }
};

template <>
struct Maximum<1> {
  float value;
  int32_t offset;

  CNNEXT_INLINE void start(f32<1> first, int32_t first_offset) {
    value = first[0];
    offset = first_offset;
  }

  CNNEXT_INLINE void take(f32<1> candidate, int32_t candidate_offset) {
    const float v = candidate[0];
    if (v > value || v != v) {
      value = v;
      offset = candidate_offset;
    }
  }

  CNNEXT_INLINE void store_value(float* p) const { *p = value; }
  CNNEXT_INLINE void store_offsets(uint8_t* p) const { *p = static_cast<uint8_t>(offset); }
  CNNEXT_INLINE void store_positions(int64_t* p) const { *p = offset; }
};

}  // namespace
}  // namespace cnnext
