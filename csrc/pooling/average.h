// SPDX-License-Identifier: BSD-3-Clause
// What the average pools share: their operands. A Shape has the sizes n, c, h_in, w_in, h_out,
// w_out, a layout, the axes rows() and columns() (pooling/axis.h), and divisor_override:
//
//   y[n,c,i,j]  = (sum of x[n,c,h,w] over h in rows.window(i), w in columns.window(j)) / d(i,j)
//   dx[n,c,h,w] = sum of dy[n,c,i,j] / d(i,j) over i in rows.holders(h), j in columns.holders(w)
//   d(i,j)      = divisor_override, or if that is 0 the product of both windows' extents
#pragma once

#include <cstdint>

namespace cnnext {

//              in    out
//   forward    x     y
//   bwd_input  dy    dx
template <class T>
struct AverageOperands {
  const T* in;
  T* out;
};

}  // namespace cnnext
