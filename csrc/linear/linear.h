// SPDX-License-Identifier: BSD-3-Clause
// linear: the contract between its kernels and its adapters.
//
//   y[m,n] = sum_k x[m,k] w[n,k]
//   dx[m,k] = sum_n dy[m,n] w[n,k]          dw[n,k] = sum_m dy[m,n] x[m,k]
//
// Stored is what the epilogue (common/kernel/epilogue.h) makes of y: its pixels are rows, its
// channels columns. All matrices are row-major, and dense but for x and y of a forward pass, whose
// rows may be some distance apart (pixel_distance, in kernel.h); m, n and k are positive. A kernel
// writes every element of its result.
#pragma once

#include <cstdint>

#include "common/kernel/epilogue.h"
#include "common/kernel/kernel.h"

namespace cnnext {

struct LinearShape {
  int64_t m, n, k;

  // Multiply-adds of any of the three passes.
  CNNEXT_INLINE double macs() const {
    return static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
};

//               first   second   epilogue   result
//   forward     x       w        of y       y
//   bwd_input   dy      w        -          dx
//   bwd_weight  dy      x        -          dw
template <class T>
struct LinearOperands {
  const T* first;
  const T* second;
  Epilogue<T> epilogue;
  T* result;
  int64_t first_pixel = 0, result_pixel = 0;  // forward: pixel_distance of the rows of x and y

  CNNEXT_INLINE int64_t x_pixel(const LinearShape& s) const {
    return pixel_distance(first_pixel, s.k);
  }
  CNNEXT_INLINE int64_t y_pixel(const LinearShape& s) const {
    return pixel_distance(result_pixel, s.n);
  }
};

struct Linear {
  static constexpr const char* kName = "linear";
  using Shape = LinearShape;
  template <class T>
  using Operands = LinearOperands<T>;
  static double work(const Shape& s) { return s.macs(); }
};

}  // namespace cnnext
