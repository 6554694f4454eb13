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

#define CNNEXT_KERNEL(type, pass, isa, name, cost) \
  CNNEXT_DECLARE_KERNEL(AdaptivePoolShape, AverageOperands<type>, name)
#include "adaptive_avg_pool2d/kernels.inc"
#undef CNNEXT_KERNEL

}  // namespace cnnext
