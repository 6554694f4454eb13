// SPDX-License-Identifier: BSD-3-Clause
// adaptive_avg_pool2d: the contract between its kernels and its adapters.
//
//   y[n,c,i,j] = the mean of x[n,c,h,w] over floor(i h_in / h_out) <= h < ceil((i+1) h_in / h_out)
//                                        and floor(j w_in / w_out) <= w < ceil((j+1) w_in / w_out)
//
// No size is zero, and h_in * h_out and w_in * w_out are far from 2^63 (the adapter sees to both).
// pooling/average.h says the rest.
#pragma once

#include "common/kernel/kernel.h"
#include "pooling/average.h"
#include "pooling/axis.h"

namespace cnnext {

struct AdaptiveAvgPool2d {
  static constexpr const char* kName = "adaptive_avg_pool2d";
  using Shape = AdaptivePoolShape;
  template <class T>
  using Operands = AverageOperands<T>;
  static double work(const Shape& s) { return s.work(); }
};

}  // namespace cnnext
