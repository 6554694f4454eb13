// SPDX-License-Identifier: BSD-3-Clause
// linear on CUDA is ATen's: cuBLAS is at the limit of the memory, or of the tensor cores, and
// follows torch's precision flags. These operators are here for what is built on linear.
#include "common/torch/cuda.h"
#include "common/torch/product.h"
#include "linear/torch_adapter.h"

namespace cnnext {
namespace {

// Leading dimensions as rows of one matrix.
Tensor rows_of(const Tensor& t, int64_t rows, int64_t columns) {
  check_allocated(t);  // reshape may copy
  return torch::stable::reshape(t, {rows, columns});
}

void forward(const linear::Tensors& t) {
  using torch::stable::detail::from;
  check_allocated(t.first);
  check_allocated(t.second);
  if (t.bias.has_value()) check_allocated(*t.bias);
  call_out("aten::linear", from(t.first), from(t.second), from(t.bias), from(t.result));
}

struct Device {
  static void compute(Pass pass, const LinearShape& s, const linear::Tensors& t) {
    if (pass == Pass::forward) return forward(t);
    const Tensor dy = rows_of(t.first, s.m, s.n);
    if (pass == Pass::bwd_input) {
      product_into(dy, t.second, rows_of(t.result, s.m, s.k));
    } else {
      product_into(transposed(dy), rows_of(t.second, s.m, s.k), t.result);
    }
  }
};

}  // namespace

CNNEXT_CUDA_OPERATORS(m) { linear::implement_operators<Device>(m); }

}  // namespace cnnext
