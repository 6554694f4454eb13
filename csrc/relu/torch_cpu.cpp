// SPDX-License-Identifier: BSD-3-Clause
// relu for torch tensors on the CPU. Any dense layout is a flat array; the rest is copied first.
#include "common/torch_checks.h"
#include "relu/select.h"

namespace cnnext {
namespace {

template <class T>
void run(Pass pass, const Tensor& first, const T* second, const Tensor& result) {
  const ReluShape s{result.numel()};
  const ReluOperands<T> o{data<T>(first), second, mutable_data<T>(result)};
  const int threads = useful_threads(static_cast<double>(s.size));
  run_on_torch_threads(select_relu<T>(pass, s, threads), s, o, threads);
}

bool is_flat(const Tensor& t) {
  return t.is_contiguous() || (t.dim() == 4 && is_dense(t, Layout::channels_last));
}

Tensor forward(const Tensor& input) {
  const Tensor x = is_flat(input) ? input : dense(input);
  const Tensor output = empty_as(x);
  if (output.numel() > 0) {
    with_element_type(x,
                      [&](auto zero) { run<decltype(zero)>(Pass::forward, x, nullptr, output); });
  }
  return output;
}

void forward_(const Tensor& self) {
  CNNEXT_CHECK(is_flat(self), "relu_ works on dense tensors");
  if (self.numel() == 0) return;
  with_element_type(self,
                    [&](auto zero) { run<decltype(zero)>(Pass::forward, self, nullptr, self); });
}

Tensor backward(const Tensor& grad_output, const Tensor& output) {
  check_like(output, grad_output, "output");
  CNNEXT_CHECK(grad_output.numel() == output.numel(), "grad_output must have as many elements as ",
               "output (", output.numel(), "), but has ", grad_output.numel());
  const Tensor y = is_flat(output) ? output : dense(output);
  // Both flat in the same order.
  const Tensor dy = dense(grad_output, y.is_contiguous() ? Layout::nchw : Layout::channels_last);
  const Tensor grad_input = empty_as(y);
  if (grad_input.numel() > 0) {
    with_element_type(y, [&](auto zero) {
      using T = decltype(zero);
      run<T>(Pass::bwd_input, dy, data<T>(y), grad_input);
    });
  }
  return grad_input;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  m.def("relu(Tensor input) -> Tensor");
  m.def("relu_forward(Tensor input) -> Tensor");
  m.def("relu_(Tensor(a!) self) -> ()");
  m.def("relu_backward(Tensor grad_output, Tensor output) -> Tensor");
  m.def("relu_kernels() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) {
  m.impl("relu", TORCH_BOX(&forward));
  m.impl("relu_forward", TORCH_BOX(&forward));
  m.impl("relu_", TORCH_BOX(&forward_));
  m.impl("relu_backward", TORCH_BOX(&backward));
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  m.impl("relu_kernels", TORCH_BOX(&list_relu_kernels));
}

}  // namespace cnnext
