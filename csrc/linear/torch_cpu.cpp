// SPDX-License-Identifier: BSD-3-Clause
// linear on the CPU, for torch.
#include "common/torch/cpu.h"
#include "linear/torch_adapter.h"

namespace cnnext {
namespace {

struct Device {
  static Tensor forward(const LinearShape& s, const Tensor& input, const Tensor& weight,
                        const std::optional<Tensor>& bias) {
    std::optional<Tensor> b;
    if (bias.has_value()) b = dense(*bias);
    const Tensor output = empty_contiguous(input, s.n);
    run(Pass::forward, s, dense(input), dense(weight), b, output);
    return output;
  }

  static Tensor backward_input(const LinearShape& s, const Tensor& grad_output,
                               const Tensor& weight) {
    const Tensor grad_input = empty_contiguous(grad_output, s.k);
    run(Pass::bwd_input, s, dense(grad_output), dense(weight), std::nullopt, grad_input);
    return grad_input;
  }

  static Tensor backward_weight(const LinearShape& s, const Tensor& grad_output,
                                const Tensor& input) {
    const Tensor grad_weight = empty_2d(s.n, s.k, input);
    run(Pass::bwd_weight, s, dense(grad_output), dense(input), std::nullopt, grad_weight);
    return grad_weight;
  }

 private:
  static void run(Pass pass, const LinearShape& s, const Tensor& first, const Tensor& second,
                  const std::optional<Tensor>& bias, const Tensor& result) {
    CpuDevice::with_element_type(result, [&](auto zero) {
      using T = decltype(zero);
      const CpuDevice cpu(result);
      const LinearOperands<T> o{cpu.read<T>(first), cpu.read<T>(second), cpu.read<T>(bias),
                                cpu.write<T>(result)};
      const int threads = num_threads_for(s.macs());
      run_on_torch_threads(select<Linear, T>(pass, s, threads), s, o, threads);
    });
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  linear::define_operators(m);
  define_kernel_lists<Linear>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) { linear::implement_operators<Device>(m); }

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  implement_kernel_lists<Linear>(m);
}

}  // namespace cnnext
