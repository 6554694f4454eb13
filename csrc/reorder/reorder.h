// SPDX-License-Identifier: BSD-3-Clause
// reorder: activations from one order in memory to another, and into or out of a range of the
// channels of a larger tensor. The contract between its kernels and those who call them.
//
//   y[n,c,p] = x[n,c,p]
//
// for pixels p of `pixels`. In channels_last the pixels of x lie x_pixel, those of y y_pixel
// elements apart, at least c; in nchw both are dense. Nothing between the channels is written.
#pragma once

#include "common/kernel/kernel.h"

namespace cnnext {

struct ReorderShape {
  int64_t n, c, pixels;
  Layout from, to;  // nchw to nchw is none of these
  int64_t x_pixel, y_pixel;
};

template <class T>
struct ReorderOperands {
  const T* x;
  T* y;
};

struct Reorder {
  static constexpr const char* kName = "reorder";
  using Shape = ReorderShape;
  template <class T>
  using Operands = ReorderOperands<T>;
  static double work(const Shape& s) { return static_cast<double>(s.n * s.c * s.pixels); }
};

}  // namespace cnnext
