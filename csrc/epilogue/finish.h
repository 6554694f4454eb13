// SPDX-License-Identifier: BSD-3-Clause
// The epilogue alone, as kernels of convolutions and products have it at their last store: the
// contract between the kernels that show what it computes and their bindings.
//
//   y[i][j] = act(x[i][j] + b + r) or act(x[i][j] + b) + r
//
// where b is bias[i * bias_row + j * bias_column], and r is residual[i * residual_row + j].
#pragma once

#include "common/kernel/epilogue.h"
#include "common/kernel/kernel.h"

namespace cnnext {

struct FinishShape {
  int64_t rows, columns;          // of x and y
  int64_t bias_row, bias_column;  // one of them 1 at most, and the other 0
  int64_t residual_row;           // at least `columns`
};

template <class T>
struct FinishOperands {
  const T* x;
  Epilogue<T> epilogue;
  T* y;
};

struct Finish {
  static constexpr const char* kName = "finish";
  using Shape = FinishShape;
  template <class T>
  using Operands = FinishOperands<T>;
  static double work(const Shape& s) { return static_cast<double>(s.rows * s.columns); }
};

}  // namespace cnnext
