// SPDX-License-Identifier: BSD-3-Clause
// Vectors of N floats on the compiler's vector extension, and the few operations the extension
// lacks. This is the one place with intrinsics that operators share. Everything here has internal
// linkage, because each ISA file compiles its own copy with its own flags.
#pragma once

#include <cstdint>

#include "common/kernel/kernel.h"

#if CNNEXT_X86
#include <immintrin.h>
#endif

namespace cnnext {
namespace {

template <int N>
struct VecTypes {
  typedef float f32 __attribute__((vector_size(N * 4)));
  typedef float f32_unaligned __attribute__((vector_size(N * 4), aligned(4), may_alias));
  typedef int32_t i32 __attribute__((vector_size(N * 4)));
  typedef double f64 __attribute__((vector_size(N * 8)));
  typedef uint8_t u8_unaligned __attribute__((vector_size(N), aligned(1), may_alias));
};
template <int N>
using f32 = typename VecTypes<N>::f32;
template <int N>
using i32 = typename VecTypes<N>::i32;
template <int N>
using f64 = typename VecTypes<N>::f64;

template <int N>
CNNEXT_INLINE f32<N> load(const float* p) {
  return *reinterpret_cast<const typename VecTypes<N>::f32_unaligned*>(p);
}

template <int N>
CNNEXT_INLINE void store(float* p, f32<N> v) {
  *reinterpret_cast<typename VecTypes<N>::f32_unaligned*>(p) = v;
}

// x - 0 is x to the last bit (x + 0 would lose the sign of -0), so this is a bare broadcast.
template <int N>
CNNEXT_INLINE f32<N> broadcast(float x) {
  return x - f32<N>{};
}

// The first `count` lanes, 0 <= count <= N; a load leaves the other lanes zero.
template <int N>
CNNEXT_INLINE f32<N> load_partial(const float* p, int64_t count) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
  }
#endif
  if (count == N) return load<N>(p);
  f32<N> v{};
  for (int lane = 0; lane < N; ++lane) {
    if (lane < count) v[lane] = p[lane];
  }
  return v;
}

template <int N>
CNNEXT_INLINE void store_partial(float* p, f32<N> v, int64_t count) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), v);
    return;
  }
#endif
  if (count == N) return store<N>(p, v);
  for (int lane = 0; lane < N; ++lane) {
    if (lane < count) p[lane] = v[lane];
  }
}

// The elements of p at N offsets, zero where an offset is negative.
template <int N>
CNNEXT_INLINE f32<N> gather(const float* p, const int32_t* offsets) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    const __m512i at = _mm512_loadu_si512(offsets);
    const __mmask16 inside = _mm512_cmpge_epi32_mask(at, _mm512_setzero_si512());
    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), inside, at, p, sizeof(float));
  }
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) {
    const __m256i at = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(offsets));
    const __m256i inside = _mm256_cmpgt_epi32(at, _mm256_set1_epi32(-1));
    return _mm256_mask_i32gather_ps(_mm256_setzero_ps(), p, at, _mm256_castsi256_ps(inside),
                                    sizeof(float));
  }
#endif
  f32<N> v{};
  for (int lane = 0; lane < N; ++lane) {
    if (offsets[lane] >= 0) v[lane] = p[offsets[lane]];
  }
  return v;
}

// N bytes as integers; GCC turns the general form below into a dozen shuffles.
template <int N>
CNNEXT_INLINE i32<N> load_bytes(const uint8_t* p) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    return reinterpret_cast<i32<N>>(
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) {
    return reinterpret_cast<i32<N>>(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
#endif
#if defined(__SSE4_1__)
  if constexpr (N == 4) {
    int32_t four;
    __builtin_memcpy(&four, p, sizeof(four));
    return reinterpret_cast<i32<N>>(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)));
  }
#endif
  return __builtin_convertvector(*reinterpret_cast<const typename VecTypes<N>::u8_unaligned*>(p),
                                 i32<N>);
}

// Whether load_partial and store_partial are single instructions.
template <int N>
constexpr bool kMasksPartial =
#if defined(__AVX512F__)
    N == 16;
#else
    false;
#endif

// A comparison fails for NaN, which passes. x86 has an instruction for each, which returns its
// second operand for NaN and for zeros of either sign; compilers compare and blend.
template <int N>
CNNEXT_INLINE f32<N> at_least(f32<N> x, f32<N> low) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return _mm512_max_ps(low, x);
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) return _mm256_max_ps(low, x);
#endif
#if CNNEXT_X86
  if constexpr (N == 4) return _mm_max_ps(low, x);
#endif
  return x < low ? low : x;
}

template <int N>
CNNEXT_INLINE f32<N> at_most(f32<N> x, f32<N> high) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return _mm512_min_ps(high, x);
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) return _mm256_min_ps(high, x);
#endif
#if CNNEXT_X86
  if constexpr (N == 4) return _mm_min_ps(high, x);
#endif
  return x > high ? high : x;
}

// Whether any lane is not a number.
template <int N>
CNNEXT_INLINE bool any_nan(f32<N> v) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q) != 0;
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) return _mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)) != 0;
#endif
#if CNNEXT_X86
  if constexpr (N == 4) return _mm_movemask_ps(_mm_cmpunord_ps(v, v)) != 0;
#endif
  bool any = false;
  for (int lane = 0; lane < N; ++lane) any |= v[lane] != v[lane];
  return any;
}

// Magnitudes as the bits of floats without their sign: in the order of integers NaN comes last, and
// Inf just before.
using Magnitude = int32_t;
constexpr Magnitude kMagnitudeBits = 0x7fffffff, kInfiniteMagnitude = 0x7f800000;

template <int N>
CNNEXT_INLINE i32<N> magnitude(f32<N> x) {
  return reinterpret_cast<i32<N>>(x) & kMagnitudeBits;
}

template <int N>
CNNEXT_INLINE i32<N> larger(i32<N> a, i32<N> b) {
  return a > b ? a : b;
}

template <int N>
CNNEXT_INLINE i32<N> smaller(i32<N> a, i32<N> b) {
  return a < b ? a : b;
}

// In how many lanes a comparison holds, whose result has all bits set there.
template <int N>
CNNEXT_INLINE int count_lanes(i32<N> holds) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    return _mm_popcnt_u32(_mm512_movepi32_mask(reinterpret_cast<__m512i>(holds)));
  }
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) {
    return _mm_popcnt_u32(_mm256_movemask_ps(reinterpret_cast<__m256>(holds)));
  }
#endif
  int count = 0;
  for (int lane = 0; lane < N; ++lane) count -= holds[lane];
  return count;
}

CNNEXT_INLINE bool is_finite(float x) { return x * 0.0f == 0.0f; }

// `count` is a multiple of N.
template <int N>
CNNEXT_INLINE bool all_finite(const float* p, int64_t count) {
  f32<N> probe{};  // 0 * x is NaN where x is not finite
  for (int64_t i = 0; i < count; i += N) probe += load<N>(p + i) * 0.0f;
  return !any_nan<N>(probe);
}

// The general form takes an array of vectors through memory.
template <int N>
CNNEXT_INLINE f32<N / 2> sum_of_halves(f32<N> v) {
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return _mm512_maskz_extractf32x8_ps(0xff, v, 0) + _mm512_extractf32x8_ps(v, 1);
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) return _mm256_castps256_ps128(v) + _mm256_extractf128_ps(v, 1);
#endif
  f32<N / 2> low, high;
  __builtin_memcpy(&low, &v, sizeof(low));
  __builtin_memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof(low), sizeof(high));
  return low + high;
}

template <int N>
CNNEXT_INLINE float sum_of_lanes(f32<N> v) {
  if constexpr (N == 1) {
    return v[0];
  } else {
    return sum_of_lanes<N / 2>(sum_of_halves<N>(v));
  }
}

// rows[i][j] <-> rows[j][i] of an N x N block held in N vectors.
template <int N>
CNNEXT_INLINE void transpose(f32<N> (&rows)[N]) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    __m512 t[16];
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
      t[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    // u[4g + q]: within each 128-bit lane L, column 4L + q of rows 4g .. 4g+3.
    __m512 u[16];
    for (int g = 0; g < 4; ++g) {
      u[4 * g + 0] = _mm512_shuffle_ps(t[4 * g], t[4 * g + 2], 0x44);
      u[4 * g + 1] = _mm512_shuffle_ps(t[4 * g], t[4 * g + 2], 0xee);
      u[4 * g + 2] = _mm512_shuffle_ps(t[4 * g + 1], t[4 * g + 3], 0x44);
      u[4 * g + 3] = _mm512_shuffle_ps(t[4 * g + 1], t[4 * g + 3], 0xee);
    }
    for (int q = 0; q < 4; ++q) {
      const __m512 even_low = _mm512_shuffle_f32x4(u[q], u[4 + q], 0x88);
      const __m512 odd_low = _mm512_shuffle_f32x4(u[q], u[4 + q], 0xdd);
      const __m512 even_high = _mm512_shuffle_f32x4(u[8 + q], u[12 + q], 0x88);
      const __m512 odd_high = _mm512_shuffle_f32x4(u[8 + q], u[12 + q], 0xdd);
      rows[q] = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
      rows[8 + q] = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
      rows[4 + q] = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
      rows[12 + q] = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
    }
    return;
  }
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) {
    __m256 t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      t[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int g = 0; g < 2; ++g) {
      u[4 * g + 0] = _mm256_shuffle_ps(t[4 * g], t[4 * g + 2], 0x44);
      u[4 * g + 1] = _mm256_shuffle_ps(t[4 * g], t[4 * g + 2], 0xee);
      u[4 * g + 2] = _mm256_shuffle_ps(t[4 * g + 1], t[4 * g + 3], 0x44);
      u[4 * g + 3] = _mm256_shuffle_ps(t[4 * g + 1], t[4 * g + 3], 0xee);
    }
    for (int q = 0; q < 4; ++q) {
      rows[q] = _mm256_permute2f128_ps(u[q], u[4 + q], 0x20);
      rows[4 + q] = _mm256_permute2f128_ps(u[q], u[4 + q], 0x31);
    }
    return;
  }
#endif
#if CNNEXT_X86
  if constexpr (N == 4) {
    _MM_TRANSPOSE4_PS(rows[0], rows[1], rows[2], rows[3]);
    return;
  }
#endif
  for (int i = 0; i < N; ++i) {
    for (int j = 0; j < i; ++j) {
      const float x = rows[i][j];
      rows[i][j] = rows[j][i];
      rows[j][i] = x;
    }
  }
}

// The sum of the lanes of each of 4, 8 or 16 vectors, which have as many lanes or more.
template <int N, int Count>
CNNEXT_INLINE f32<Count> sums_of_lanes(f32<N> (&vectors)[Count]) {
  if constexpr (N > Count) {
    f32<N / 2> halves[Count];
    CNNEXT_UNROLL(16)
    for (int i = 0; i < Count; ++i) halves[i] = sum_of_halves<N>(vectors[i]);
    return sums_of_lanes<N / 2>(halves);
  } else {
    transpose<N>(vectors);
    f32<N> sums{};
    CNNEXT_UNROLL(16)
    for (int i = 0; i < N; ++i) sums += vectors[i];
    return sums;
  }
}

// dst[j * dst_row + i] = src[i * src_row + j] for i < height, j < width, both at most N.
template <int N>
CNNEXT_INLINE void transpose_window(const float* src, int64_t src_row, float* dst, int64_t dst_row,
                                    int64_t height, int64_t width) {
  f32<N> rows[N];
  if (height == N && width == N) {
    for (int r = 0; r < N; ++r) rows[r] = load<N>(src + r * src_row);
    transpose<N>(rows);
    for (int r = 0; r < N; ++r) store<N>(dst + r * dst_row, rows[r]);
    return;
  }
  for (int r = 0; r < N; ++r) {
    rows[r] = r < height ? load_partial<N>(src + r * src_row, width) : f32<N>{};
  }
  transpose<N>(rows);
  for (int r = 0; r < N; ++r) {
    if (r < width) store_partial<N>(dst + r * dst_row, rows[r], height);
  }
}

// The same for any height and width; src and dst must not overlap. Where a window would reach over
// the end it starts earlier, and moves some elements twice.
template <int N>
void transpose_block(const float* src, int64_t src_row, float* dst, int64_t dst_row, int64_t height,
                     int64_t width) {
  constexpr int64_t kFew = 2;  // rows or columns that are not worth the shuffles
  if (height <= kFew || width <= kFew) {
    for (int64_t i = 0; i < height; ++i) {
      for (int64_t j = 0; j < width; ++j) dst[j * dst_row + i] = src[i * src_row + j];
    }
    return;
  }
  for (int64_t i0 = 0; i0 < height; i0 += N) {
    const int64_t i = height < N ? 0 : min(i0, height - N);
    for (int64_t j0 = 0; j0 < width; j0 += N) {
      const int64_t j = width < N ? 0 : min(j0, width - N);
      transpose_window<N>(src + i * src_row + j, src_row, dst + j * dst_row + i, dst_row,
                          min(N, height), min(N, width));
    }
  }
}

template <int N>
struct Width {
  static constexpr int kLanes = N;
};

// Covers [from, last) by vectors of N that lie in [first, last): calls f(Width<N>(), at) for each.
// The last one overlaps the one before it; a range too small for one is covered by narrower ones.
template <int N, class F>
CNNEXT_INLINE void cover(int64_t first, int64_t from, int64_t last, const F& f) {
  if (last - first >= N) {
    for (int64_t i = from; i < last; i += N) f(Width<N>(), min(i, last - N));
  } else if constexpr (N > 1) {
    cover<(N > 4 ? N / 2 : 1)>(first, from, last, f);
  }
}

CNNEXT_INLINE void fill_zero(float* p, int64_t count) {
  __builtin_memset(p, 0, static_cast<uint64_t>(count) * sizeof(float));
}

CNNEXT_INLINE void copy(float* dst, const float* src, int64_t count) {
  __builtin_memcpy(dst, src, static_cast<uint64_t>(count) * sizeof(float));
}

}  // namespace
}  // namespace cnnext
