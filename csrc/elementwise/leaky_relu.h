// SPDX-License-Identifier: BSD-3-Clause
// leaky_relu: x where x > 0, else x * negative_slope (so that NaN is multiplied, as in ATen). The
// gradient is dy where x > 0, else dy * negative_slope.
#pragma once

#include "elementwise/elementwise.h"

namespace cnnext {

struct LeakyRelu : ElementwiseOperator<LeakyRelu> {
  static constexpr const char* kName = "leaky_relu";
  static constexpr const char* kSaved = "input";

  struct Parameters {
    static constexpr int kCount = 1;
    static constexpr const char* kNames[] = {"negative_slope"};
    double negative_slope;
  };

  template <class V>
  CNNEXT_INLINE static V forward(V x, const Parameters& parameters) {
    return backward(x, x, parameters);
  }

  template <class V>
  CNNEXT_INLINE static V backward(V dy, V x, const Parameters& parameters) {
    return x > V{} ? dy : dy * constant<V>(parameters.negative_slope);
  }
};

}  // namespace cnnext
