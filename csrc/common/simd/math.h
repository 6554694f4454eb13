// SPDX-License-Identifier: BSD-3-Clause
// exp, sigmoid and tanh of N floats, to a few units in the last place; NaN in, NaN out.
//
// exp: x = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite, in two parts), e^r by the polynomial of
// Moshier's Cephes (expf), 2^n by its exponent bits. tanh: Cephes' odd polynomial below 0.625,
// where 1 - 2/(e^2x + 1) would cancel.
#pragma once

#include "common/simd/simd.h"

namespace cnnext {
namespace {

// Relative error below 1.2e-7 for -87 <= x <= 88; zero below, and e^88 above.
template <int N>
CNNEXT_INLINE f32<N> exp(f32<N> x) {
  const float kLowest = -87.0f, kHighest = 88.0f;
  const i32<N> vanishes = x < kLowest;
  x = vanishes ? broadcast<N>(kLowest) : x;
  x = x > kHighest ? broadcast<N>(kHighest) : x;
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const float kRound = 12582912.0f;
  const f32<N> shifted = x * 1.44269504088896341f + kRound;
  const f32<N> n = shifted - kRound;
  const f32<N> r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  f32<N> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  i32<N> bits;
  __builtin_memcpy(&bits, &shifted, sizeof(bits));
  // The low bits of kRound itself are 0x400000, which the shift drops with the exponent's.
  bits = (bits + 127) << 23;
  f32<N> scale;
  __builtin_memcpy(&scale, &bits, sizeof(scale));
  return vanishes ? f32<N>{} : p * scale;
}

template <int N>
CNNEXT_INLINE f32<N> sigmoid(f32<N> x) {
  const f32<N> zero{};
  const f32<N> e = exp<N>(x < zero ? x : -x);  // in (0, 1]: nothing overflows or cancels
  return (x < zero ? e : e - e + 1.0f) / (e + 1.0f);
}

template <int N>
CNNEXT_INLINE f32<N> tanh(f32<N> x) {
  const f32<N> zero{};
  const f32<N> size = x < zero ? -x : x;
  const f32<N> z = x * x;
  f32<N> p = z * -5.70498872745e-3f + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const f32<N> small = p * z * x + x;
  const f32<N> large = 1.0f - 2.0f / (exp<N>(size + size) + 1.0f);
  const f32<N> signed_large = x < zero ? -large : large;
  return size < 0.625f ? small : signed_large;
}

}  // namespace
}  // namespace cnnext
