// SPDX-License-Identifier: BSD-3-Clause
// linear on CUDA is ATen's: cuBLAS is at the limit of the memory, or of the tensor cores, and
// follows torch's precision flags. These operators are here for what is built on linear.
#include "common/torch_cuda.h"

#include "linear/torch_adapter.h"

namespace cnnext {
namespace {

struct Device {
  static Tensor forward(const LinearShape&, const Tensor& input, const Tensor& weight,
                        const std::optional<Tensor>& bias) {
    using torch::stable::detail::from;
    StableIValue stack[] = {from(input), from(weight), from(bias)};
    STABLE_TORCH_ERROR_CODE_CHECK(
        torch_call_dispatcher("aten::linear", "", stack, TORCH_ABI_VERSION));
    return torch::stable::detail::to<Tensor>(stack[0]);
  }

  static Tensor backward_input(const LinearShape&, const Tensor& grad_output,
                               const Tensor& weight) {
    return torch::stable::matmul(grad_output, weight);
  }

  static Tensor backward_weight(const LinearShape& s, const Tensor& grad_output,
                                const Tensor& input) {
    const Tensor dy = torch::stable::reshape(grad_output, {s.m, s.n});
    const Tensor x = torch::stable::reshape(input, {s.m, s.k});
    return torch::stable::matmul(torch::stable::transpose(dy, 0, 1), x);
  }
};

}  // namespace

CNNEXT_CUDA_OPERATORS(m) { linear::implement_operators<Device>(m); }

}  // namespace cnnext
