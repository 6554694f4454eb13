// SPDX-License-Identifier: BSD-3-Clause
// softmax along channels, or its logarithm. The contract between its kernels and those who call
// them.
//
//   y[p,c] = e^(x[p,c] - m) / s     or     x[p,c] - m - log(s)
//
// where m is the largest x[p,c] of pixel p, and s the sum of its e^(x[p,c] - m). The pixels of x
// lie x_pixel, those of y y_pixel elements apart, at least c. Nothing between the channels is
// written.
#pragma once

#include "common/kernel/kernel.h"

namespace cnnext {

struct SoftmaxShape {
  int64_t pixels, c;
  bool log;
  int64_t x_pixel, y_pixel;
};

template <class T>
struct SoftmaxOperands {
  const T* x;
  T* y;
};

struct Softmax {
  static constexpr const char* kName = "softmax";
  using Shape = SoftmaxShape;
  template <class T>
  using Operands = SoftmaxOperands<T>;
  static double work(const Shape& s) {
    constexpr double kOperations = 16;  // of an exponential
    return kOperations * static_cast<double>(s.pixels * s.c);
  }
};

}  // namespace cnnext
