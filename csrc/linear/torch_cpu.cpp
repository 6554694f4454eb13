// SPDX-License-Identifier: BSD-3-Clause
// linear for torch tensors on the CPU. Leading dimensions of the input are rows of one matrix.
#include "common/torch_checks.h"
#include "linear/select.h"

namespace cnnext {
namespace {

template <class T>
void run(Pass pass, const LinearShape& s, const Tensor& first, const Tensor& second,
         const std::optional<Tensor>& bias, const Tensor& result) {
  const LinearOperands<T> o{data<T>(first), data<T>(second), data<T>(bias),
                            mutable_data<T>(result)};
  const int threads = useful_threads(s.macs());
  run_on_torch_threads(select_linear<T>(pass, s, threads), s, o, threads);
}

LinearShape make_shape(const Tensor& rows, int64_t n, int64_t k) {
  CNNEXT_CHECK(n > 0 && k > 0, "weight must not be empty");
  return {rows.numel() / rows.size(rows.dim() - 1), n, k};
}

Tensor forward(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias) {
  check_dim(weight, 2, "weight");
  check_like(weight, input, "weight");
  CNNEXT_CHECK(input.dim() > 0 && input.size(input.dim() - 1) == weight.size(1), "input must have ",
               weight.size(1), " columns, as weight has");
  const LinearShape s = make_shape(input, weight.size(0), weight.size(1));
  std::optional<Tensor> b;
  if (bias.has_value()) {
    check_like(*bias, input, "bias");
    CNNEXT_CHECK(bias->dim() == 1 && bias->size(0) == s.n, "bias must have ", s.n, " elements");
    b = dense(*bias);
  }
  const Tensor output = empty_contiguous(input, s.n);
  if (output.numel() == 0) return output;
  const Tensor x = dense(input), w = dense(weight);
  with_element_type(x, [&](auto zero) { run<decltype(zero)>(Pass::forward, s, x, w, b, output); });
  return output;
}

Tensor backward_input(const Tensor& grad_output, const Tensor& weight) {
  check_dim(weight, 2, "weight");
  check_like(weight, grad_output, "weight");
  CNNEXT_CHECK(grad_output.dim() > 0 && grad_output.size(grad_output.dim() - 1) == weight.size(0),
               "grad_output must have ", weight.size(0), " columns");
  const LinearShape s = make_shape(grad_output, weight.size(0), weight.size(1));
  const Tensor grad_input = empty_contiguous(grad_output, s.k);
  if (grad_input.numel() == 0) return grad_input;
  const Tensor dy = dense(grad_output), w = dense(weight);
  with_element_type(dy, [&](auto zero) {
    run<decltype(zero)>(Pass::bwd_input, s, dy, w, std::nullopt, grad_input);
  });
  return grad_input;
}

Tensor backward_weight(const Tensor& grad_output, const Tensor& input) {
  check_like(input, grad_output, "input");
  CNNEXT_CHECK(grad_output.dim() > 0 && input.dim() == grad_output.dim(),
               "input and grad_output must have equally many dimensions");
  const int64_t last = input.dim() - 1;
  const LinearShape s = make_shape(grad_output, grad_output.size(last), input.size(last));
  for (int64_t d = 0; d < last; ++d) {
    CNNEXT_CHECK(input.size(d) == grad_output.size(d), "input has size ", input.size(d),
                 " in dimension ", d, ", grad_output has ", grad_output.size(d));
  }
  const Tensor grad_weight = empty_2d(s.n, s.k, input.scalar_type());
  if (s.m == 0) return torch::stable::fill_(grad_weight, 0);
  const Tensor dy = dense(grad_output), x = dense(input);
  with_element_type(dy, [&](auto zero) {
    run<decltype(zero)>(Pass::bwd_weight, s, dy, x, std::nullopt, grad_weight);
  });
  return grad_weight;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  m.def("linear(Tensor input, Tensor weight, Tensor? bias) -> Tensor");
  m.def("linear_forward(Tensor input, Tensor weight, Tensor? bias) -> Tensor");
  m.def("linear_backward_input(Tensor grad_output, Tensor weight) -> Tensor");
  m.def("linear_backward_weight(Tensor grad_output, Tensor input) -> Tensor");
  m.def("linear_kernels() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) {
  m.impl("linear", TORCH_BOX(&forward));
  m.impl("linear_forward", TORCH_BOX(&forward));
  m.impl("linear_backward_input", TORCH_BOX(&backward_input));
  m.impl("linear_backward_weight", TORCH_BOX(&backward_weight));
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  m.impl("linear_kernels", TORCH_BOX(&list_linear_kernels));
}

}  // namespace cnnext
