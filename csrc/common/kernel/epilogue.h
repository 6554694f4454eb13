// SPDX-License-Identifier: BSD-3-Clause
// What a kernel that sums products does to its sums before it stores them: the epilogue. For pixel
// p of output channel c,
//
//   y[p][c] = act(sum[p][c] + bias[c] + residual[p][c])       residual_after == false
//   y[p][c] = act(sum[p][c] + bias[c]) + residual[p][c]       residual_after == true
//
// The residual lies in memory as y does, but channels_last its pixels have a distance of their own:
// it may be a range of the channels of a larger tensor. It must not overlap y, which may hold
// partial sums until the end.
#pragma once

#include <cstdint>

#include "common/kernel/kernel.h"

namespace cnnext {

// Calls macro(name) for each activation, first for those that are bounds alone.
//
//   relu          x < 0 ? 0 : x
//   clamp         min(max(x, low), high), also known as hardtanh; relu6 is that of 0 and 6
//   leaky_relu    x > 0 ? x : x * negative_slope
//   sigmoid       s(x) = 1 / (1 + e^-x)
//   silu          x s(x)
//   hardsigmoid   h(x) = min(max(x + 3, 0), 6) / 6
//   hardswish     x h(x)
//   gelu          x (1 + erf(x / sqrt(2))) / 2
//   gelu_tanh     x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
//
// NaN stays NaN, a zero that passes keeps its sign, and if low > high then clamp gives high, as in
// ATen. At -Inf silu, hardswish and both forms of gelu are Inf * 0, which is NaN.
#define CNNEXT_FOR_ACTIVATIONS(macro)                                                           \
  macro(none) macro(relu) macro(clamp) macro(leaky_relu) macro(sigmoid) macro(tanh) macro(silu) \
      macro(hardswish) macro(hardsigmoid) macro(gelu) macro(gelu_tanh)

#define CNNEXT_ENUMERATOR(name) name,
enum class Activation : int { CNNEXT_FOR_ACTIVATIONS(CNNEXT_ENUMERATOR) };
#undef CNNEXT_ENUMERATOR

template <class T>
struct ActivationParameters {
  T low{}, high{};     // clamp's
  T negative_slope{};  // leaky_relu's
};

template <class T>
struct Epilogue {
  const T* bias = nullptr;      // null: 0
  const T* residual = nullptr;  // null: 0
  int64_t residual_pixel = 0;   // channels_last: its pixel_distance (kernel.h)
  bool residual_after = false;
  Activation activation = Activation::none;
  ActivationParameters<T> parameters;
};

}  // namespace cnnext
