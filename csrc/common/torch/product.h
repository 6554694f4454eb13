// SPDX-License-Identifier: BSD-3-Clause
// Matrix products by ATen, in the precision that torch's flags allow them.
#pragma once

#include "common/torch/checks.h"

namespace cnnext {

// a b, into memory of our own: a product that ATen allocates has autocast's dtype where that is on,
// and kernels go by the dtype of the operands.
inline Tensor product(const Tensor& a, const Tensor& b) {
  using torch::stable::detail::from;
  check_allocated(a);
  check_allocated(b);
  const Tensor result = empty_2d(a.size(0), b.size(1), a);
  StableIValue stack[] = {from(a), from(b), from(result)};
  STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::mm", "out", stack, TORCH_ABI_VERSION));
  torch::stable::detail::to<Tensor>(stack[0]);  // result again
  return result;
}

inline Tensor transposed(const Tensor& matrix) { return torch::stable::transpose(matrix, 0, 1); }

}  // namespace cnnext
