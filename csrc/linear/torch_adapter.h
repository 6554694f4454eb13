// SPDX-License-Identifier: BSD-3-Clause
// linear for torch tensors on any device: checks, and what needs no product. Leading dimensions of
// the input are rows of one matrix.
#pragma once

#include "common/torch/checks.h"
#include "common/torch/results.h"
#include "linear/linear.h"

namespace cnnext {
namespace linear {

// The operands of a pass (linear.h) before a device has made them dense; the result is.
struct Tensors {
  Tensor first, second;
  std::optional<Tensor> bias;
  Tensor result;
};

inline LinearShape make_shape(const Tensor& rows, int64_t n, int64_t k) {
  CNNEXT_CHECK(n > 0 && k > 0, "weight must not be empty, but has shape ", in_brackets({n, k}));
  return {rows.numel() / rows.size(rows.dim() - 1), n, k};
}

template <class Device>
Tensor forward(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias) {
  check_dim(weight, 2, "weight");
  check_like(weight, input, "weight");
  CNNEXT_CHECK(input.dim() > 0 && input.size(input.dim() - 1) == weight.size(1), "input must have ",
               weight.size(1), " columns, as weight has, but has shape ", shape_text(input));
  const LinearShape s = make_shape(input, weight.size(0), weight.size(1));
  if (bias.has_value()) {
    check_like(*bias, input, "bias");
    check_shape(*bias, {s.n}, "bias");
  }
  const Tensor output = empty_contiguous(input, s.n);
  if (s.m > 0) Device::compute(Pass::forward, s, Tensors{input, weight, bias, output});
  return output;
}

template <class Device>
Tensor backward_input(const Tensor& grad_output, const Tensor& weight) {
  check_dim(weight, 2, "weight");
  check_like(weight, grad_output, "weight");
  CNNEXT_CHECK(grad_output.dim() > 0 && grad_output.size(grad_output.dim() - 1) == weight.size(0),
               "grad_output must have ", weight.size(0),
               " columns, one for each row of weight, but has shape ", shape_text(grad_output));
  const LinearShape s = make_shape(grad_output, weight.size(0), weight.size(1));
  const Tensor grad_input = empty_contiguous(grad_output, s.k);
  if (s.m > 0) {
    Device::compute(Pass::bwd_input, s, Tensors{grad_output, weight, std::nullopt, grad_input});
  }
  return grad_input;
}

template <class Device>
Tensor backward_weight(const Tensor& grad_output, const Tensor& input) {
  check_like(input, grad_output, "input");
  const int64_t last = input.dim() - 1;
  CNNEXT_CHECK(
      last >= 0 && grad_output.dim() == input.dim() &&
          grad_output.sizes().slice(0, last) == input.sizes().slice(0, last),
      "input and grad_output must have equal dimensions but for the last, but have shapes ",
      shape_text(input), " and ", shape_text(grad_output));
  const LinearShape s = make_shape(grad_output, grad_output.size(last), input.size(last));
  const Tensor grad_weight = empty_2d(s.n, s.k, input);
  if (s.m == 0) return torch::stable::fill_(grad_weight, 0);
  Device::compute(Pass::bwd_weight, s, Tensors{grad_output, input, std::nullopt, grad_weight});
  return grad_weight;
}

inline void define_operators(StableLibrary& m) {
  define_forward(m, "linear", "(Tensor input, Tensor weight, Tensor? bias) -> Tensor");
  m.def("linear_backward_input(Tensor grad_output, Tensor weight) -> Tensor");
  m.def("linear_backward_weight(Tensor grad_output, Tensor input) -> Tensor");
}

template <class Device>
void implement_operators(StableLibrary& m) {
  implement_forward(m, "linear", TORCH_BOX(&forward<Device>));
  m.impl("linear_backward_input", TORCH_BOX(&backward_input<Device>));
  m.impl("linear_backward_weight", TORCH_BOX(&backward_weight<Device>));
}

}  // namespace linear
}  // namespace cnnext
