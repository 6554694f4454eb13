// SPDX-License-Identifier: BSD-3-Clause
// adaptive_max_pool2d: the contract between its kernels and its adapters.
//
//   y[n,c,i,j] = max of x[n,c,h,w] over floor(i h_in / h_out) <= h < ceil((i+1) h_in / h_out)
//                                   and floor(j w_in / w_out) <= w < ceil((j+1) w_in / w_out)
//
// As in ATen the first maximum in row-major order wins a tie, and the last NaN over everything.
// Where the maximum was is recorded as its position h*w_in + w in the plane; indices lie in memory
// as y does. The gradient adds dy to that position of dx and leaves zero elsewhere.
//
// No size is zero, and h_in * h_out and w_in * w_out are far from 2^63 (the adapter sees to both).
#pragma once

#include "common/kernel/kernel.h"
#include "pooling/axis.h"

namespace cnnext {

//              in    out   indices
//   forward    x     y     written, or null
//   bwd_input  dy    dx    read
template <class T>
struct AdaptiveMaxPool2dOperands {
  const T* in;
  T* out;
  int64_t* indices;
};

struct AdaptiveMaxPool2d {
  static constexpr const char* kName = "adaptive_max_pool2d";
  using Shape = AdaptivePoolShape;
  template <class T>
  using Operands = AdaptiveMaxPool2dOperands<T>;
  static double work(const Shape& s) { return s.work(); }
};

}  // namespace cnnext
