// SPDX-License-Identifier: BSD-3-Clause
// pad: zeros around each image. The contract between its kernels and those who call them.
//
//   y[n, top + i, left + j, c] = x[n, i, j, c], and zero elsewhere
//
// in channels_last; the pixels of x lie x_pixel, those of y y_pixel elements apart, at least c.
// Nothing between the channels is written.
#pragma once

#include "common/kernel/kernel.h"

namespace cnnext {

struct PadShape {
  int64_t n, c, h_in, w_in;
  int64_t left, right, top, bottom;
  int64_t x_pixel, y_pixel;

  CNNEXT_INLINE int64_t h_out() const { return top + h_in + bottom; }
  CNNEXT_INLINE int64_t w_out() const { return left + w_in + right; }
};

template <class T>
struct PadOperands {
  const T* x;
  T* y;
};

struct Pad {
  static constexpr const char* kName = "pad";
  using Shape = PadShape;
  template <class T>
  using Operands = PadOperands<T>;
  static double work(const Shape& s) {
    return static_cast<double>(s.n * s.c * s.h_out() * s.w_out());
  }
};

}  // namespace cnnext
