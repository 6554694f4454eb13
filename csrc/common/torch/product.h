// SPDX-License-Identifier: BSD-3-Clause
// Matrix products by ATen, in the precision that torch's flags allow them.
#pragma once

#include "common/torch/checks.h"
#include "common/torch/results.h"

namespace cnnext {

// The overload `out` of an operator of ATen, into memory of our own: a product that ATen allocates
// has autocast's dtype where that is on, and kernels go by the dtype of the operands. The last
// argument is the result.
template <class... Arguments>
void call_out(const char* name, const Arguments&... arguments) {
  StableIValue stack[] = {arguments...};
  STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher(name, "out", stack, TORCH_ABI_VERSION));
  torch::stable::detail::to<Tensor>(stack[0]);  // the result again
}

// result = a b
inline void product_into(const Tensor& a, const Tensor& b, const Tensor& result) {
  using torch::stable::detail::from;
  check_allocated(a);
  check_allocated(b);
  call_out("aten::mm", from(a), from(b), from(result));
}

inline Tensor product(const Tensor& a, const Tensor& b) {
  const Tensor result = empty_2d(a.size(0), b.size(1), a);
  product_into(a, b, result);
  return result;
}

inline Tensor transposed(const Tensor& matrix) { return torch::stable::transpose(matrix, 0, 1); }

}  // namespace cnnext
