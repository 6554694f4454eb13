// SPDX-License-Identifier: BSD-3-Clause
// Vectors of elements that lie some steps apart: the same taps of neighbouring windows.
#pragma once

#include "common/simd/simd.h"

namespace cnnext {
namespace {

// p[0], p[stride], ..., p[(N-1) * stride]. Reads nothing past the last of them: for stride 2 the
// second vector begins at p[N-1], so that its odd elements are wanted.
template <int N>
CNNEXT_INLINE f32<N> load_strided(const float* p, int64_t stride) {
  if (stride == 1) return load<N>(p);
#if CNNEXT_X86
  if (stride == 2) {
    if constexpr (N == 4) {
      return _mm_shuffle_ps(load<4>(p), load<4>(p + 3), 0xd8);
    }
#if defined(__AVX2__)
    if constexpr (N == 8) {
      const __m256 pairs = _mm256_shuffle_ps(load<8>(p), load<8>(p + 7), 0xd8);
      return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(pairs), 0xd8));
    }
#endif
#if defined(__AVX512F__)
    if constexpr (N == 16) {
      const __m512i wanted =
          _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
      return _mm512_permutex2var_ps(load<16>(p), wanted, load<16>(p + 15));
    }
#endif
  }
#endif
  f32<N> v{};
  for (int lane = 0; lane < N; ++lane) v[lane] = p[lane * stride];
  return v;
}

}  // namespace
}  // namespace cnnext
