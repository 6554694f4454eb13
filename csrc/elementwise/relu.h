// SPDX-License-Identifier: BSD-3-Clause
// relu: 0 where x < 0, else x (so NaN and -0 pass through, as in ATen). The gradient is 0 where
// y <= 0, else dy (so that at NaN it is dy).
#pragma once

#include "elementwise/elementwise.h"

namespace cnnext {

struct Relu : ElementwiseOperator<Relu> {
  static constexpr const char* kName = "relu";
  static constexpr const char* kSaved = "output";

  template <class V>
  CNNEXT_INLINE static V forward(V x, const Parameters&) {
    return x < V{} ? V{} : x;
  }

  template <class V>
  CNNEXT_INLINE static V backward(V dy, V y, const Parameters&) {
    return y <= V{} ? V{} : dy;
  }
};

}  // namespace cnnext
