// SPDX-License-Identifier: BSD-3-Clause
// sigmoid: 1 / (1 + e^-x). The gradient is dy (1 - y) y, in ATen's order.
#pragma once

#include "elementwise/elementwise.h"

namespace cnnext {

struct Sigmoid : ElementwiseOperator<Sigmoid> {
  static constexpr const char* kName = "sigmoid";
  static constexpr const char* kSaved = "output";
  static constexpr bool kInPlace = false;

  template <class V>
  CNNEXT_INLINE static V forward(V x, const Parameters&) {
    return Transcendental<V>::sigmoid(x);
  }

  template <class V>
  CNNEXT_INLINE static V backward(V dy, V y, const Parameters&) {
    return dy * (constant<V>(1) - y) * y;
  }
};

}  // namespace cnnext
