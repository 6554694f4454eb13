// SPDX-License-Identifier: BSD-3-Clause
// Powers of e, sigmoid and tanh of N floats, to a few units in the last place; NaN in, NaN out.
//
// e^x is needed for x <= 0 alone, where nothing overflows: x = n ln 2 + r with |r| <= ln 2 / 2
// (Cody and Waite, in two parts), e^r by the polynomial of Moshier's Cephes (expf), 2^n by its
// exponent bits. tanh: Cephes' odd polynomial below 0.625, where 1 - e^-2x would cancel.
#pragma once

#include "common/simd/simd.h"

namespace cnnext {
namespace {

constexpr int32_t kSignBit = INT32_MIN;

template <int N>
CNNEXT_INLINE f32<N> negative_magnitude(f32<N> x) {
  return reinterpret_cast<f32<N>>(reinterpret_cast<i32<N>>(x) | kSignBit);
}

template <int N>
CNNEXT_INLINE f32<N> with_sign_of(f32<N> sign, f32<N> x) {
  return reinterpret_cast<f32<N>>(magnitude<N>(x) | (reinterpret_cast<i32<N>>(sign) & kSignBit));
}

// e^x = 2^-24 power (1 + rest), with a power of two that is normal even where e^x is subnormal.
template <int N>
struct Exponential {
  f32<N> power, rest;

  // factor * e^x. No rounding of e^x comes in between.
  CNNEXT_INLINE f32<N> times(f32<N> factor) const {
    const f32<N> scaled = factor * power;
    return (scaled * rest + scaled) * 0x1p-24f;
  }
  CNNEXT_INLINE f32<N> value() const { return times(broadcast<N>(1.0f)); }
};

// From here on e^x is taken for zero. It is half of the least subnormal number, and `rest` is
// positive there, so that a negative factor gives -0.
constexpr float kLowestExponent = -103.95f;

// high + low = n ln 2 + r.
template <int N>
struct Reduced {
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  static constexpr float kRound = 12582912.0f;
  f32<N> shifted, r;

  CNNEXT_INLINE explicit Reduced(f32<N> high) {
    shifted = high * 1.44269504088896341f + kRound;
    const f32<N> n = shifted - kRound;
    r = n * 2.12194440e-4f + (high - n * 0.693359375f);
  }
  CNNEXT_INLINE Reduced(f32<N> high, f32<N> low) : Reduced(high) { r += low; }
  // The bits of 2^(n + more - 127). The low bits of kRound itself are 0x400000, which the shift
  // drops with the exponent's.
  CNNEXT_INLINE i32<N> exponent_bits(int32_t more) const {
    return (reinterpret_cast<i32<N>>(shifted) + more) << 23;
  }
  // e^r - 1.
  CNNEXT_INLINE f32<N> rest() const {
    f32<N> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return p * (r * r) + r;
  }
};

// e^(high + low) for high >= kLowestExponent, and zero there.
template <int N>
CNNEXT_INLINE Exponential<N> exponential(f32<N> high, f32<N> low) {
  const Reduced<N> reduced(high, low);
  const f32<N> power = reinterpret_cast<f32<N>>(reduced.exponent_bits(127 + 24));
  return {high <= kLowestExponent ? f32<N>{} : power, reduced.rest()};
}

// e^x for x <= 0.
template <int N>
CNNEXT_INLINE Exponential<N> exponential(f32<N> x) {
  return exponential<N>(at_least<N>(x, broadcast<N>(kLowestExponent)), f32<N>{});
}

// The same of an exponent that, rounded to a float, would be too far off: by half a unit in the
// last place of -8, for example, which e^x then is off by four.
template <int N>
CNNEXT_INLINE Exponential<N> exponential(const f64<N>& x) {
  const f64<N> lowest = kLowestExponent - f64<N>{};
  const f64<N> clamped = x < lowest ? lowest : x;
  const f32<N> high = __builtin_convertvector(clamped, f32<N>);
  const f64<N> low = clamped - __builtin_convertvector(high, f64<N>);
  return exponential<N>(high, __builtin_convertvector(low, f32<N>));
}

// Half of e^x, normal and finite for all x: half of e^89 where x is more, so that e^x is infinite,
// and e^-86 where it is less.
template <int N>
CNNEXT_INLINE f32<N> half_of_exponential(f32<N> x) {
  x = at_most<N>(at_least<N>(x, broadcast<N>(-86.0f)), broadcast<N>(89.0f));
  const Reduced<N> reduced(x);
  const f32<N> power = reinterpret_cast<f32<N>>(reduced.exponent_bits(126));
  return reduced.rest() * power + power;
}

// 1 / (1 + e) for x >= 0 and e / (1 + e) for x < 0, where e = e^-|x|; as f - f e / (1 + e), so that
// a small result is rounded as often as e is, and once more.
template <int N>
CNNEXT_INLINE f32<N> sigmoid(f32<N> x) {
  const f32<N> e = exponential<N>(negative_magnitude<N>(x)).value();
  const f32<N> f = x < f32<N>{} ? e : broadcast<N>(1.0f);
  return f - f * (e / (e + 1.0f));
}

template <int N>
CNNEXT_INLINE f32<N> tanh(f32<N> x) {
  const f32<N> m = negative_magnitude<N>(x);
  const f32<N> z = x * x;
  f32<N> p = z * -5.70498872745e-3f + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const f32<N> small = p * z * m + m;
  const f32<N> e = exponential<N>(m + m).value();
  const f32<N> large = 1.0f - (e + e) / (e + 1.0f);  // rounded once where it is nearly 1
  return with_sign_of<N>(x, m > -0.625f ? small : large);
}

}  // namespace
}  // namespace cnnext
