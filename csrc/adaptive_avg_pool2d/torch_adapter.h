// SPDX-License-Identifier: BSD-3-Clause
// adaptive_avg_pool2d for torch tensors on any device.
#pragma once

#include "adaptive_avg_pool2d/adaptive_avg_pool2d.h"
#include "pooling/torch_pools.h"

namespace cnnext {
namespace adaptive_avg_pool2d {

template <class Device>
Tensor forward(const Tensor& input, int64_t h_out, int64_t w_out) {
  check_dim(input, 4, "input");
  return pooling::average<Device>(
      pooling::adaptive_shape(input.size(0), input.size(1), input.size(2), input.size(3), h_out,
                              w_out, preferred_layout(input)),
      input);
}

template <class Device>
Tensor backward(const Tensor& grad_output, int64_t h_in, int64_t w_in, bool channels_last) {
  check_dim(grad_output, 4, "grad_output");
  return pooling::average_backward<Device>(
      pooling::adaptive_shape(grad_output.size(0), grad_output.size(1), h_in, w_in,
                              grad_output.size(2), grad_output.size(3),
                              pooling::layout_of(channels_last)),
      grad_output);
}

inline void define_operators(StableLibrary& m) {
  m.def("adaptive_avg_pool2d(Tensor input, SymInt h_out, SymInt w_out) -> Tensor");
  m.def("adaptive_avg_pool2d_forward(Tensor input, SymInt h_out, SymInt w_out) -> Tensor");
  m.def(
      "adaptive_avg_pool2d_backward(Tensor grad_output, SymInt h_in, SymInt w_in, "
      "bool channels_last) -> Tensor");
}

template <class Device>
void implement_operators(StableLibrary& m) {
  m.impl("adaptive_avg_pool2d", TORCH_BOX(&forward<Device>));
  m.impl("adaptive_avg_pool2d_forward", TORCH_BOX(&forward<Device>));
  m.impl("adaptive_avg_pool2d_backward", TORCH_BOX(&backward<Device>));
}

}  // namespace adaptive_avg_pool2d
}  // namespace cnnext
