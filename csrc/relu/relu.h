// SPDX-License-Identifier: BSD-3-Clause
// relu: the contract between its kernels and its adapters.
//
//   y[i] = 0 where x[i] < 0, else x[i]          (so NaN and -0 pass through, as in ATen)
//   dx[i] = 0 where y[i] <= 0, else dy[i]       (so the gradient at NaN is dy)
//
// Flat arrays of `size` elements; y may be x, dx may be dy.
#pragma once

#include <cstdint>

#include "common/kernel/kernel.h"

namespace cnnext {

struct ReluShape {
  int64_t size;
};

//              first   second   result
//   forward    x       -        y
//   bwd_input  dy      y        dx
template <class T>
struct ReluOperands {
  const T* first;
  const T* second;
  T* result;
};

struct Relu {
  static constexpr const char* kName = "relu";
  using Shape = ReluShape;
  template <class T>
  using Operands = ReluOperands<T>;
  static double work(const Shape& s) { return static_cast<double>(s.size); }
};

}  // namespace cnnext
