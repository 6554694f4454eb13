// SPDX-License-Identifier: BSD-3-Clause
// relu for torch tensors on the CPU. A tensor that fills its memory is a flat array, whatever the
// order of its dimensions, and so is the result, in the same order; the rest is copied first.
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

// Whether the elements fill their memory without gaps or overlaps.
bool is_flat(const Tensor& t) {
  if (t.is_contiguous()) return true;
  int64_t stride = 1;
  for (bool found = true; found && stride < t.numel();) {
    found = false;
    for (int64_t d = 0; d < t.dim() && !found; ++d) {
      found = t.size(d) > 1 && t.stride(d) == stride;
      if (found) stride *= t.size(d);
    }
  }
  return stride == t.numel();
}

// Empty, in the order of `t`, which is flat; where strides are ambiguous, as ATen chooses them.
Tensor empty_as(const Tensor& t) {
  if (t.is_contiguous()) return empty_contiguous(t, t.dim() == 0 ? 1 : t.size(t.dim() - 1));
  if (t.dim() == 4 && is_dense(t, Layout::channels_last)) {
    return empty_4d(t.size(0), t.size(1), t.size(2), t.size(3), Layout::channels_last,
                    t.scalar_type());
  }
  return empty_strided(t.dim(), t.sizes().data(), t.strides().data(), t.scalar_type());
}

// t, or a copy that keeps the order of its dimensions in memory.
Tensor flat(const Tensor& t) { return is_flat(t) ? t : torch::stable::clone(t); }

// t, or a copy whose dimensions lie in memory as those of `like`, which is flat and as large.
Tensor flat_as(const Tensor& t, const Tensor& like) {
  bool same = true;
  for (int64_t d = 0; d < t.dim(); ++d) {
    same = same && (t.size(d) <= 1 || t.stride(d) == like.stride(d));
  }
  if (same) return t;
  Tensor copy = empty_as(like);
  torch::stable::copy_(copy, t);
  return copy;
}

Tensor forward(const Tensor& input) {
  const Tensor x = flat(input);
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
  check_dim(grad_output, output.dim(), "grad_output");
  for (int64_t d = 0; d < output.dim(); ++d) {
    CNNEXT_CHECK(grad_output.size(d) == output.size(d), "grad_output has size ",
                 grad_output.size(d), " in dimension ", d, ", the output has ", output.size(d));
  }
  const Tensor y = flat(output);
  const Tensor dy = flat_as(grad_output, y);
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
