// SPDX-License-Identifier: BSD-3-Clause
// max_unpool2d: the contract between its kernels and its adapters.
//
//   y[n,c,indices[n,c,i,j]] = x[n,c,i,j], and zero elsewhere
//
// with positions h * w_out + w of a plane. Of several x with one position the last in row-major
// order counts, as in ATen. An index that is no position moves nothing, and is stored in `invalid`,
// which stays 0 if there is none.
// The gradient is the gather
//
//   dx[n,c,i,j] = dy[n,c,indices[n,c,i,j]], and zero where that is no position
//
// x, dx and indices lie in memory alike, and so do y and dy, all in one layout. No size is zero.
#pragma once

#include "common/kernel/kernel.h"

namespace cnnext {

struct MaxUnpool2dShape {
  int64_t n, c, h_in, w_in, h_out, w_out;
  Layout layout;

  CNNEXT_INLINE int64_t in() const { return h_in * w_in; }
  CNNEXT_INLINE int64_t out() const { return h_out * w_out; }
  CNNEXT_INLINE double work() const {
    return static_cast<double>(n * c) * static_cast<double>(in() + out());
  }
};

//              from   to
//   forward    x      y
//   bwd_input  dy     dx
template <class T>
struct MaxUnpool2dOperands {
  const T* from;
  const int64_t* indices;
  T* to;
  int64_t* invalid;  // forward
};

struct MaxUnpool2d {
  static constexpr const char* kName = "max_unpool2d";
  using Shape = MaxUnpool2dShape;
  template <class T>
  using Operands = MaxUnpool2dOperands<T>;
  static double work(const Shape& s) { return s.work(); }
};

}  // namespace cnnext
