// SPDX-License-Identifier: BSD-3-Clause
// adaptive_max_pool2d for torch tensors on any device.
#pragma once

#include <tuple>

#include "adaptive_max_pool2d/adaptive_max_pool2d.h"
#include "pooling/torch_pools.h"

namespace cnnext {
namespace adaptive_max_pool2d {

// Returns y and the indices, which are empty unless `record`.
template <class Device>
std::tuple<Tensor, Tensor> forward(const Tensor& input, int64_t h_out, int64_t w_out, bool record) {
  check_dim(input, 4, "input");
  const AdaptivePoolShape s =
      pooling::adaptive_shape(input.size(0), input.size(1), input.size(2), input.size(3), h_out,
                              w_out, preferred_layout(input));
  const Tensor output = empty_4d(s.n, s.c, h_out, w_out, s.layout, input);
  const Tensor indices = record
                             ? empty_4d(s.n, s.c, h_out, w_out, s.layout, input, ScalarType::Long)
                             : empty_1d(0, input, ScalarType::Long);
  if (output.numel() > 0) {
    const Tensor x = dense(input, s.layout);
    Device::with_element_type(x, [&](auto zero) {
      using T = decltype(zero);
      const Device device(output);
      const AdaptiveMaxPool2dOperands<T> o{
          device.template read<T>(x), device.template write<T>(output),
          record ? device.template write<int64_t>(indices) : nullptr};
      device.compute(Pass::forward, s, o);
    });
  }
  return {output, indices};
}

template <class Device>
Tensor backward(const Tensor& grad_output, const Tensor& indices, int64_t h_in, int64_t w_in) {
  check_dim(grad_output, 4, "grad_output");
  check_dim(indices, 4, "indices");
  CNNEXT_CHECK(indices.scalar_type() == ScalarType::Long, "indices must be int64");
  CNNEXT_CHECK(indices.device() == grad_output.device(), "indices must be on grad_output's device");
  check_same_sizes(grad_output, indices);
  const AdaptivePoolShape s =
      pooling::adaptive_shape(indices.size(0), indices.size(1), h_in, w_in, indices.size(2),
                              indices.size(3), preferred_layout(indices));
  const Tensor grad_input = empty_4d(s.n, s.c, h_in, w_in, s.layout, grad_output);
  if (grad_input.numel() > 0) {
    const Tensor dy = dense(grad_output, s.layout), positions = dense(indices, s.layout);
    Device::with_element_type(dy, [&](auto zero) {
      using T = decltype(zero);
      const Device device(grad_input);
      const AdaptiveMaxPool2dOperands<T> o{
          device.template read<T>(dy), device.template write<T>(grad_input),
          const_cast<int64_t*>(device.template read<int64_t>(positions))};
      device.compute(Pass::bwd_input, s, o);
    });
  }
  return grad_input;
}

inline void define_operators(StableLibrary& m) {
  m.def(
      "adaptive_max_pool2d(Tensor input, SymInt h_out, SymInt w_out, bool record) "
      "-> (Tensor, Tensor)");
  m.def(
      "adaptive_max_pool2d_forward(Tensor input, SymInt h_out, SymInt w_out, bool record) "
      "-> (Tensor, Tensor)");
  m.def(
      "adaptive_max_pool2d_backward(Tensor grad_output, Tensor indices, SymInt h_in, SymInt w_in) "
      "-> Tensor");
}

template <class Device>
void implement_operators(StableLibrary& m) {
  m.impl("adaptive_max_pool2d", TORCH_BOX(&forward<Device>));
  m.impl("adaptive_max_pool2d_forward", TORCH_BOX(&forward<Device>));
  m.impl("adaptive_max_pool2d_backward", TORCH_BOX(&backward<Device>));
}

}  // namespace adaptive_max_pool2d
}  // namespace cnnext
