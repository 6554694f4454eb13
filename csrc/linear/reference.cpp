// SPDX-License-Identifier: BSD-3-Clause
// linear as its contract says it, summed in double: the oracle, and the float64 path.
#include "common/kernel/reference_epilogue.h"
#include "linear/linear.h"

namespace cnnext {
namespace {

// result[i*c_row + j] = sum_k a[i*a_row + k*a_k] * b[k*b_k + j*b_column]
template <class T>
struct Product {
  int64_t rows, columns, depth;
  int64_t a_row, a_k, b_k, b_column, c_row;

  void row(const LinearOperands<T>& o, int64_t i) const {
    for (int64_t j = 0; j < columns; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < depth; ++k) {
        sum += static_cast<double>(o.first[i * a_row + k * a_k]) *
               static_cast<double>(o.second[k * b_k + j * b_column]);
      }
      const Epilogue<T>& e = o.epilogue;
      const T* const residual =
          e.residual == nullptr ? nullptr
                                : e.residual + i * pixel_distance(e.residual_pixel, columns) + j;
      o.result[i * c_row + j] =
          finish_exactly(sum, e.bias == nullptr ? nullptr : e.bias + j, residual, e);
    }
  }
};

template <class T, Pass kPass>
struct Reference {
  static Product<T> product(const LinearShape& s, const LinearOperands<T>& o) {
    if (kPass == Pass::forward) {
      return {s.m, s.n, s.k, o.x_pixel(s), 1, 1, s.k, o.y_pixel(s)};
    }
    if (kPass == Pass::bwd_input) return {s.m, s.k, s.n, s.n, 1, s.k, 1, s.k};
    return {s.n, s.k, s.m, 1, s.n, s.k, 1, s.k};
  }

  static Plan plan(const LinearShape& s, int) {
    Plan plan;
    plan.tasks[0] = product(s, {}).rows;
    return plan;
  }

  static void run(const LinearShape& s, const Plan&, const LinearOperands<T>& o,
                  const Slice& slice) {
    for (int64_t i = slice.begin; i < slice.end; ++i) product(s, o).row(o, i);
  }
};

}  // namespace

#define CNNEXT_KERNELS "linear/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
