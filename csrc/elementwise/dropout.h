// SPDX-License-Identifier: BSD-3-Clause
// dropout: the contract between its kernels and its adapters.
//
//   mask[i] = u[i] < keep      y[i] = x[i] (mask[i] / keep)      dx[i] = dy[i] (mask[i] / keep)
//
// rounded in this order, as ATen does. u[i] in [0, 1) is 2^-53 times the low 53 bits of numbers[i],
// which is what ATen's bernoulli_ makes of 64 random bits; 0 < keep <= 1. Flat arrays of `size`
// elements; a mask is one byte an element, 0 or 1.
#pragma once

#include <cstdint>

#include "common/kernel/kernel.h"

namespace cnnext {

constexpr double kDrawn = 9007199254740992.0;  // 2^53, as many numbers as there are

struct DropoutShape {
  int64_t size;
  double keep;

  // u < keep where the low 53 bits are less than this.
  CNNEXT_INLINE int64_t limit() const {
    const double exact = keep * kDrawn;
    const int64_t below = static_cast<int64_t>(exact);
    return below + (static_cast<double>(below) < exact);
  }
};

//              from   to
//   forward    x      y
//   bwd_input  dy     dx
template <class T>
struct DropoutOperands {
  const T* from;
  T* to;
  const int64_t* numbers;  // forward
  uint8_t* new_mask;       // forward
  const uint8_t* mask;     // bwd_input
};

struct Dropout {
  static constexpr const char* kName = "dropout";
  using Shape = DropoutShape;
  template <class T>
  using Operands = DropoutOperands<T>;
  static double work(const Shape& s) { return static_cast<double>(s.size); }
};

}  // namespace cnnext
