// SPDX-License-Identifier: BSD-3-Clause
// avg_pool2d: the contract between its kernels and its adapters.
//
//   y[n,c,i,j] = (sum over r < k_h, s < k_w of x[n,c, i*stride_h - pad_h + r,
//                                                    j*stride_w - pad_w + s]) / d(i,j)
//
// over the positions inside the image, of which every window has one (the adapter sees to it).
// d(i,j) is divisor_override, or if that is 0 the number of positions inside the image, or with
// count_include_pad inside the padded image. pooling/average.h says the rest.
#pragma once

#include "common/kernel/kernel.h"
#include "pooling/average.h"
#include "pooling/axis.h"

namespace cnnext {

struct AvgPool2dShape {
  int64_t n, c, h_in, w_in, h_out, w_out;  // h_out and w_out are given: ceil_mode is the adapter's
  int64_t k_h, k_w, stride_h, stride_w, pad_h, pad_w;
  bool count_include_pad;
  int64_t divisor_override;
  Layout layout;

  CNNEXT_INLINE SlidingAxis rows() const {
    return {h_in, h_out, k_h, stride_h, pad_h, count_include_pad};
  }
  CNNEXT_INLINE SlidingAxis columns() const {
    return {w_in, w_out, k_w, stride_w, pad_w, count_include_pad};
  }

  // Additions of a forward pass.
  CNNEXT_INLINE double work() const {
    return static_cast<double>(n * c * h_out * w_out) * static_cast<double>(min(k_h, h_in)) *
           static_cast<double>(min(k_w, w_in));
  }
};

struct AvgPool2d {
  static constexpr const char* kName = "avg_pool2d";
  using Shape = AvgPool2dShape;
  template <class T>
  using Operands = AverageOperands<T>;
  static double work(const Shape& s) { return s.work(); }
};

}  // namespace cnnext
