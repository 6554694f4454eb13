// SPDX-License-Identifier: BSD-3-Clause
// relu for torch tensors on any device. A tensor that fills its memory is a flat array, whatever
// the order of its dimensions, and so is the result, in the same order; the rest is copied first.
#pragma once

#include "common/torch/checks.h"
#include "relu/relu.h"

namespace cnnext {
namespace relu {

// Whether the elements fill their memory without gaps or overlaps.
inline bool is_flat(const Tensor& t) {
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
inline Tensor empty_as(const Tensor& t) {
  if (t.is_contiguous()) return empty_contiguous(t, t.dim() == 0 ? 1 : t.size(t.dim() - 1));
  if (t.dim() == 4 && is_dense(t, Layout::channels_last)) {
    return empty_4d(t.size(0), t.size(1), t.size(2), t.size(3), Layout::channels_last, t);
  }
  return empty_strided(t.dim(), t.sizes().data(), t.strides().data(), t, t.scalar_type());
}

// t, or a copy that keeps the order of its dimensions in memory.
inline Tensor flat(const Tensor& t) {
  if (is_flat(t)) return t;
  check_allocated(t);
  return torch::stable::clone(t);
}

// t, or a copy whose dimensions lie in memory as those of `like`, which is flat and as large.
inline Tensor flat_as(const Tensor& t, const Tensor& like) {
  bool same = true;
  for (int64_t d = 0; d < t.dim(); ++d) {
    same = same && (t.size(d) <= 1 || t.stride(d) == like.stride(d));
  }
  if (same) return t;
  check_allocated(t);
  Tensor copy = empty_as(like);
  torch::stable::copy_(copy, t);
  return copy;
}

template <class Device, class T>
void run(Pass pass, const Tensor& first, const Tensor* second, const Tensor& result) {
  const Device device(result);
  const ReluOperands<T> o{device.template read<T>(first),
                          second == nullptr ? nullptr : device.template read<T>(*second),
                          device.template write<T>(result)};
  device.compute(pass, ReluShape{result.numel()}, o);
}

template <class Device>
Tensor forward(const Tensor& input) {
  const Tensor x = flat(input);
  const Tensor output = empty_as(x);
  if (output.numel() > 0) {
    Device::with_element_type(
        x, [&](auto zero) { run<Device, decltype(zero)>(Pass::forward, x, nullptr, output); });
  }
  return output;
}

template <class Device>
void forward_(const Tensor& self) {
  CNNEXT_CHECK(is_flat(self), "relu_ works on dense tensors");
  if (self.numel() == 0) return;
  Device::with_element_type(
      self, [&](auto zero) { run<Device, decltype(zero)>(Pass::forward, self, nullptr, self); });
}

template <class Device>
Tensor backward(const Tensor& grad_output, const Tensor& output) {
  check_like(output, grad_output, "output");
  check_same_sizes(grad_output, output);
  const Tensor y = flat(output);
  const Tensor dy = flat_as(grad_output, y);
  const Tensor grad_input = empty_as(y);
  if (grad_input.numel() > 0) {
    Device::with_element_type(
        y, [&](auto zero) { run<Device, decltype(zero)>(Pass::bwd_input, dy, &y, grad_input); });
  }
  return grad_input;
}

inline void define_operators(StableLibrary& m) {
  m.def("relu(Tensor input) -> Tensor");
  m.def("relu_forward(Tensor input) -> Tensor");
  m.def("relu_(Tensor(a!) self) -> ()");
  m.def("relu_backward(Tensor grad_output, Tensor output) -> Tensor");
}

template <class Device>
void implement_operators(StableLibrary& m) {
  m.impl("relu", TORCH_BOX(&forward<Device>));
  m.impl("relu_forward", TORCH_BOX(&forward<Device>));
  m.impl("relu_", TORCH_BOX(&forward_<Device>));
  m.impl("relu_backward", TORCH_BOX(&backward<Device>));
}

}  // namespace relu
}  // namespace cnnext
