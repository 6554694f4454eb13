// SPDX-License-Identifier: BSD-3-Clause
// depth_windows: volumes as images whose channels are those of a window of slices, so that a
// convolution of the images is one of the volumes. The contract between its kernels and those who
// call them.
//
//   y[n * d_out + i, c * taps + t, p] = x[n, c, i * stride - pad + t * dilation, p]
//
// for pixels p of a slice, and zero where there is no such slice. The gradient is the transpose:
//
//   dx[n,c,d,p] = sum of all dy that are made of x[n,c,d,p], in the order of t
//
// All are dense. Of one tap with stride 1 it exchanges channels and slices.
#pragma once

#include "common/kernel/kernel.h"
#include "common/kernel/window.h"

namespace cnnext {

struct DepthWindowsShape {
  int64_t n, c, d_in, pixels;
  int64_t taps, stride, pad, dilation;

  CNNEXT_INLINE SlidingWindows windows() const { return {d_in, taps, stride, pad, dilation}; }
  CNNEXT_INLINE int64_t d_out() const { return windows().count(); }
};

//                x    y
//   forward      x    y
//   bwd_input    dy   dx
template <class T>
struct DepthWindowsOperands {
  const T* x;
  T* y;
};

struct DepthWindows {
  static constexpr const char* kName = "depth_windows";
  using Shape = DepthWindowsShape;
  template <class T>
  using Operands = DepthWindowsOperands<T>;
  static double work(const Shape& s) {
    return static_cast<double>(s.n * s.c * s.pixels) * s.d_out() * s.taps;
  }
};

}  // namespace cnnext
