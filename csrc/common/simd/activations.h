// SPDX-License-Identifier: BSD-3-Clause
// The activations of an epilogue (common/kernel/epilogue.h) on N floats: to 3 units in the last
// place where |y| >= 0.001.
//
// silu and the forms of gelu are x times a probability, which for x < 0 is a small number, and to
// be had as such: 1 + erf or 1 + tanh would cancel. silu(x) is x / (1 + e^-x). With e = e^-|a|,
//
//   x sigmoid(a) = x e / (1 + e)          for a < 0, and x / (1 + e) otherwise;
//   gelu_tanh(x) = x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3));
//   gelu(x) = x tail                      for x < 0, and x (1 - tail) otherwise,
//
// where tail = erfc(|x| / sqrt(2)) / 2 = e^(-x^2 / 2) R(|x|). R falls slowly, from 1/2 to
// 1 / (sqrt(2 pi) |x|), and is a polynomial in t = (|x| - 2.25) / (|x| + 2.25), where |t| is small
// for all x < 0 whose gelu is small, but not too small to matter. Where x is near zero and t is
// not, gelu is x / 2 + x^2 p(x^2). Both polynomials were fitted by Lawson's method to 4e-9
// relative, their coefficients rounded one by one.
#pragma once

#include "common/kernel/epilogue.h"
#include "common/simd/math.h"

namespace cnnext {
namespace {

// x sigmoid(a), with e = e^-|a|.
template <int N>
CNNEXT_INLINE f32<N> times_sigmoid(f32<N> x, f32<N> a, const Exponential<N>& e) {
  return (a < f32<N>{} ? e.times(x) : x) / (e.value() + 1.0f);
}

template <int N>
CNNEXT_INLINE f32<N> silu(f32<N> x) {
  return x / (half_of_exponential<N>(-x) * 2.0f + 1.0f);
}

template <int N>
CNNEXT_INLINE f32<N> hardsigmoid(f32<N> x) {
  return at_most<N>(at_least<N>(x + 3.0f, f32<N>{}), broadcast<N>(6.0f)) / 6.0f;
}

// R(size) for size >= 0.875, where |t| < 1/2.
template <int N>
CNNEXT_INLINE f32<N> tail_ratio(f32<N> size) {
  size = at_most<N>(size, broadcast<N>(16.0f));  // where e^(-x^2 / 2) has vanished
  const f32<N> t = (size - 2.25f) / (size + 2.25f);
  f32<N> r = t * -2.5608113e-05f - 0.000267980038f;
  r = r * t + 9.59516765e-05f;
  r = r * t + 0.00144455186f;
  r = r * t + 0.00109666539f;
  r = r * t - 0.00853428151f;
  r = r * t - 0.0116213886f;
  r = r * t + 0.103669859f;
  r = r * t - 0.239514396f;
  return r * t + 0.153651938f;
}

template <int N>
CNNEXT_INLINE f32<N> gelu(f32<N> x) {
  constexpr float kLargest = 14.4375f;  // e^(-x^2 / 2) vanishes here
  const f32<N> size = -negative_magnitude<N>(x);
  // x^2 in two parts, of which the first is exact.
  const f32<N> bounded = at_most<N>(size, broadcast<N>(kLargest));
  const f32<N> top = reinterpret_cast<f32<N>>(reinterpret_cast<i32<N>>(bounded) & -4096);
  const Exponential<N> e =
      exponential<N>(top * top * -0.5f, (bounded + top) * (bounded - top) * -0.5f);
  const f32<N> ratio = tail_ratio<N>(size);
  const f32<N> large = x < f32<N>{} ? e.times(x) * ratio : x * (1.0f - e.times(ratio));
  const f32<N> z = x * x;
  f32<N> p = z * -1.06270709e-05f + 0.000119957047f;
  p = p * z - 0.00119148695f;
  p = p * z + 0.00997514278f;
  p = p * z - 0.0664906278f;
  p = p * z + 0.398942292f;
  return with_sign_of<N>(x, size < 0.875f ? z * p + x * 0.5f : large);
}

template <int N>
CNNEXT_INLINE f32<N> gelu_tanh(f32<N> x) {
  const f64<N> wide = __builtin_convertvector(negative_magnitude<N>(x), f64<N>);
  const double kLinear = 1.5957691216057308, kCubic = 0.044715 * kLinear;  // sqrt(8 / pi)
  return times_sigmoid<N>(x, x, exponential<N>(wide * (wide * wide * kCubic + kLinear)));
}

template <Activation kActivation, int N>
CNNEXT_INLINE f32<N> activate(f32<N> x, const ActivationParameters<float>& p) {
  if constexpr (kActivation == Activation::relu) return at_least<N>(x, f32<N>{});
  if constexpr (kActivation == Activation::clamp) {
    return at_most<N>(at_least<N>(x, broadcast<N>(p.low)), broadcast<N>(p.high));
  }
  if constexpr (kActivation == Activation::leaky_relu) {
    return x > f32<N>{} ? x : x * p.negative_slope;
  }
  if constexpr (kActivation == Activation::sigmoid) return sigmoid<N>(x);
  if constexpr (kActivation == Activation::tanh) return tanh<N>(x);
  if constexpr (kActivation == Activation::silu) return silu<N>(x);
  if constexpr (kActivation == Activation::hardswish) return x * hardsigmoid<N>(x);
  if constexpr (kActivation == Activation::hardsigmoid) return hardsigmoid<N>(x);
  if constexpr (kActivation == Activation::gelu) return gelu<N>(x);
  if constexpr (kActivation == Activation::gelu_tanh) return gelu_tanh<N>(x);
  if constexpr (kActivation == Activation::none) return x;
}

}  // namespace
}  // namespace cnnext
