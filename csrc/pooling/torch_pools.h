// SPDX-License-Identifier: BSD-3-Clause
// What the adapters of pools share: checks of adaptive shapes, and all that average pools do.
#pragma once

#include "common/torch/checks.h"
#include "pooling/average.h"
#include "pooling/axis.h"

namespace cnnext {
namespace pooling {

inline AdaptivePoolShape adaptive_shape(int64_t n, int64_t c, int64_t h_in, int64_t w_in,
                                        int64_t h_out, int64_t w_out, Layout layout) {
  CNNEXT_CHECK(h_in > 0 && w_in > 0 && h_out > 0 && w_out > 0,
               "input and output must have height and width");
  CNNEXT_CHECK(h_in <= kMaxElements / h_out && w_in <= kMaxElements / w_out, "output (", h_out,
               " x ", w_out, ") is too large for input (", h_in, " x ", w_in, ")");
  return {n, c, h_in, w_in, h_out, w_out, layout};
}

inline Layout layout_of(bool channels_last) {
  return channels_last ? Layout::channels_last : Layout::nchw;
}

template <class Device, class Shape>
void run_average(Pass pass, const Shape& s, const Tensor& in, const Tensor& out) {
  if (out.numel() == 0) return;
  const Tensor x = dense(in, s.layout);
  Device::with_element_type(x, [&](auto zero) {
    using T = decltype(zero);
    const Device device(out);
    const AverageOperands<T> o{device.template read<T>(x), device.template write<T>(out)};
    device.compute(pass, s, o);
  });
}

template <class Device, class Shape>
Tensor average(const Shape& s, const Tensor& input) {
  const Tensor output = empty_4d(s.n, s.c, s.h_out, s.w_out, s.layout, input);
  run_average<Device>(Pass::forward, s, input, output);
  return output;
}

template <class Device, class Shape>
Tensor average_backward(const Shape& s, const Tensor& grad_output) {
  const Tensor grad_input = empty_4d(s.n, s.c, s.h_in, s.w_in, s.layout, grad_output);
  run_average<Device>(Pass::bwd_input, s, grad_output, grad_input);
  return grad_input;
}

}  // namespace pooling
}  // namespace cnnext
