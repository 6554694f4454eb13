// SPDX-License-Identifier: BSD-3-Clause
// scale: channels times a factor each, plus a term each, and an activation: what a batch-norm in
// evaluation is, or a squeeze-excitation. The contract between its kernels and those who call them.
//
//   y[n,p,c] = act(x[n,p,c] * factor[n * factor_image + c] + bias[c] + residual[n,p,c])
//
// in channels_last, of `pixels` pixels an image. Those of x lie x_pixel, those of y y_pixel
// elements apart, at least c. The bias, the residual and the activation are an epilogue
// (common/kernel/epilogue.h).
#pragma once

#include "common/kernel/epilogue.h"
#include "common/kernel/kernel.h"

namespace cnnext {

struct ScaleShape {
  int64_t n, c, pixels;
  int64_t x_pixel, y_pixel;
  int64_t factor_image;  // 0: all images have the same factors; else c
};

template <class T>
struct ScaleOperands {
  const T* x;
  const T* factor;
  Epilogue<T> epilogue;
  T* y;
};

struct Scale {
  static constexpr const char* kName = "scale";
  using Shape = ScaleShape;
  template <class T>
  using Operands = ScaleOperands<T>;
  static double work(const Shape& s) { return static_cast<double>(s.n * s.c * s.pixels); }
};

}  // namespace cnnext
