// SPDX-License-Identifier: BSD-3-Clause
// tanh: the hyperbolic tangent. The gradient is dy (1 - y^2).
#pragma once

#include "elementwise/elementwise.h"

namespace cnnext {

struct Tanh : ElementwiseOperator<Tanh> {
  static constexpr const char* kName = "tanh";
  static constexpr const char* kSaved = "output";
  static constexpr bool kInPlace = false;

  template <class V>
  CNNEXT_INLINE static V forward(V x, const Parameters&) {
    return Transcendental<V>::tanh(x);
  }

  template <class V>
  CNNEXT_INLINE static V backward(V dy, V y, const Parameters&) {
    return dy * (constant<V>(1) - y * y);
  }
};

}  // namespace cnnext
