// SPDX-License-Identifier: BSD-3-Clause
// linear: the contract between its kernels and its adapters.
//
//   y[m,n] = b[n] + sum_k x[m,k] w[n,k]
//   dx[m,k] = sum_n dy[m,n] w[n,k]          dw[n,k] = sum_m dy[m,n] x[m,k]
//
// All matrices are dense and row-major; m, n and k are positive. A kernel writes every element of
// its result.
#pragma once

#include <cstdint>

#include "common/kernel/kernel.h"

namespace cnnext {

struct LinearShape {
  int64_t m, n, k;

  // Multiply-adds of any of the three passes.
  CNNEXT_INLINE double macs() const {
    return static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
};

//               first   second   bias       result
//   forward     x       w        b or null  y
//   bwd_input   dy      w        -          dx
//   bwd_weight  dy      x        -          dw
template <class T>
struct LinearOperands {
  const T* first;
  const T* second;
  const T* bias;
  T* result;
};

struct Linear {
  static constexpr const char* kName = "linear";
  using Shape = LinearShape;
  template <class T>
  using Operands = LinearOperands<T>;
  static double work(const Shape& s) { return s.macs(); }
};

}  // namespace cnnext
