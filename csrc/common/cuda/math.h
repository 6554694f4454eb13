// SPDX-License-Identifier: BSD-3-Clause
// Functions of CUDA's library by one name for float and double.
#pragma once

#include "common/kernel/kernel.h"

namespace cnnext {
namespace {

CNNEXT_INLINE float exponential(float x) { return expf(x); }
CNNEXT_INLINE double exponential(double x) { return exp(x); }
CNNEXT_INLINE float hyperbolic_tangent(float x) { return tanhf(x); }
CNNEXT_INLINE double hyperbolic_tangent(double x) { return ::tanh(x); }

template <class Value>
CNNEXT_INLINE Value logistic(Value x) {
  return 1 / (1 + exponential(-x));
}

}  // namespace
}  // namespace cnnext
