// SPDX-License-Identifier: BSD-3-Clause
// Epilogues and prologues as their formulas say them, in double: for reference kernels.
#pragma once

#include <cmath>

#include "common/kernel/epilogue.h"
#include "common/kernel/prologue.h"

namespace cnnext {

// ATen's maximum and minimum with a number: NaN passes, and of two zeros the first.
inline double at_least(double x, double low) { return x < low ? low : x; }
inline double at_most(double x, double high) { return x > high ? high : x; }

template <class T>
double activate_exactly(double x, Activation activation, const ActivationParameters<T>& p) {
  const double sigmoid = 1 / (1 + std::exp(-x));
  const double hardsigmoid = at_most(at_least(x + 3, 0), 6) / 6;
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return at_least(x, 0);
    case Activation::clamp:
      return at_most(at_least(x, p.low), p.high);
    case Activation::leaky_relu:
      return x > 0 ? x : x * p.negative_slope;
    case Activation::sigmoid:
      return sigmoid;
    case Activation::tanh:
      return std::tanh(x);
    case Activation::silu:
      return x * sigmoid;
    case Activation::hardswish:
      return x * hardsigmoid;
    case Activation::hardsigmoid:
      return hardsigmoid;
    case Activation::gelu:
      return x * (std::erfc(x * -std::sqrt(0.5)) / 2);
    case Activation::gelu_tanh: {
      const double twice = 1.5957691216057308 * (x + 0.044715 * x * x * x);  // sqrt(8 / pi)
      return x / (1 + std::exp(-twice));
    }
  }
  return x;
}

// What the prologue of its channel makes of an input.
template <class T>
double prepare_exactly(T x, const Prologue<T>& p) {
  if (!p.exists()) return x;
  const double shift = p.shift == nullptr ? 0 : *p.shift;
  const double y = static_cast<double>(x) * *p.scale + shift;
  return p.relu ? at_least(y, 0) : y;
}

// The output of a sum; `bias` and `residual` point to its own, or are null.
template <class T>
T finish_exactly(double sum, const T* bias, const T* residual, const Epilogue<T>& e) {
  const auto plus = [](double x, const T* y) { return y == nullptr ? x : x + *y; };
  const double biased = plus(sum, bias);
  const double y = activate_exactly(e.residual_after ? biased : plus(biased, residual),
                                    e.activation, e.parameters);
  return static_cast<T>(e.residual_after ? plus(y, residual) : y);
}

}  // namespace cnnext
