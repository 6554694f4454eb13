// SPDX-License-Identifier: BSD-3-Clause
// What the average pools share: their operands. A Shape has the sizes n, c, h_in, w_in, h_out,
// w_out, a layout, the axes rows() and columns() (pooling/axis.h), and divisor_override:
//
//   y[n,c,i,j]  = (sum of x[n,c,h,w] over h in rows.window(i), w in columns.window(j)) / d(i,j)
//   dx[n,c,h,w] = sum of dy[n,c,i,j] / d(i,j) over i in rows.covering_windows(h), j in
//   columns.covering_windows(w) d(i,j)      = divisor_override, or if that is 0 the product of both
//   windows' extents
#pragma once

#include <cstdint>

#include "pooling/axis.h"

namespace cnnext {

// d(i,j) of the windows i and j, as a floating-point number: the product of two large extents may
// not fit an integer.
template <class T>
CNNEXT_INLINE T divisor_of(int64_t divisor_override, const Window& row, const Window& column) {
  return divisor_override != 0 ? static_cast<T>(divisor_override)
                               : static_cast<T>(row.extent) * static_cast<T>(column.extent);
}

//              in    out
//   forward    x     y
//   bwd_input  dy    dx
template <class T>
struct AverageOperands {
  const T* in;
  T* out;
};

}  // namespace cnnext
