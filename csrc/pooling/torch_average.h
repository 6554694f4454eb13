// SPDX-License-Identifier: BSD-3-Clause
// The average pools for torch tensors on any device.
#pragma once

#include "common/torch/results.h"
#include "pooling/adaptive_avg_pool2d.h"
#include "pooling/avg_pool2d.h"
#include "pooling/torch_shapes.h"

namespace cnnext {
namespace pooling {

template <class Op, class Device>
void average(Pass pass, const typename Op::Shape& s, const Tensor& in, const Tensor& out) {
  if (out.numel() == 0) return;
  const Tensor x = dense(in, s.layout);
  Device::with_element_type(x, [&](auto zero) {
    using T = decltype(zero);
    const Device device(out);
    const AverageOperands<T> o{device.template read<T>(x), device.template write<T>(out)};
    device.template compute<Op>(pass, s, o);
  });
}

template <class Op, class Device>
Tensor average_forward(const typename Op::Shape& s, const Tensor& input) {
  const Tensor output = empty_4d(s.n, s.c, s.h_out, s.w_out, s.layout, input);
  average<Op, Device>(Pass::forward, s, input, output);
  return output;
}

template <class Op, class Device>
Tensor average_backward(const typename Op::Shape& s, const Tensor& grad_output) {
  const Tensor grad_input = empty_4d(s.n, s.c, s.h_in, s.w_in, s.layout, grad_output);
  average<Op, Device>(Pass::bwd_input, s, grad_output, grad_input);
  return grad_input;
}

inline AvgPool2dShape avg_pool2d_shape(const ImageSizes& sizes, Layout layout, int64_t k_h,
                                       int64_t k_w, int64_t stride_h, int64_t stride_w,
                                       int64_t pad_h, int64_t pad_w, bool count_include_pad,
                                       int64_t divisor_override) {
  const auto [n, c, h_in, w_in, h_out, w_out] = sizes;
  check_windows(sizes, {h_in, k_h, stride_h, pad_h, 1}, {w_in, k_w, stride_w, pad_w, 1});
  return {n,
          c,
          h_in,
          w_in,
          h_out,
          w_out,
          k_h,
          k_w,
          stride_h,
          stride_w,
          pad_h,
          pad_w,
          count_include_pad,
          divisor_override,
          layout};
}

template <class Device>
Tensor avg_pool2d(const Tensor& input, int64_t h_out, int64_t w_out, int64_t k_h, int64_t k_w,
                  int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w,
                  bool count_include_pad, int64_t divisor_override) {
  const AvgPool2dShape s =
      avg_pool2d_shape(forward_sizes(input, h_out, w_out), preferred_layout(input), k_h, k_w,
                       stride_h, stride_w, pad_h, pad_w, count_include_pad, divisor_override);
  return average_forward<AvgPool2d, Device>(s, input);
}

template <class Device>
Tensor avg_pool2d_backward(const Tensor& grad_output, int64_t h_in, int64_t w_in,
                           bool channels_last, int64_t k_h, int64_t k_w, int64_t stride_h,
                           int64_t stride_w, int64_t pad_h, int64_t pad_w, bool count_include_pad,
                           int64_t divisor_override) {
  const AvgPool2dShape s =
      avg_pool2d_shape(backward_sizes(grad_output, h_in, w_in), layout_of(channels_last), k_h, k_w,
                       stride_h, stride_w, pad_h, pad_w, count_include_pad, divisor_override);
  return average_backward<AvgPool2d, Device>(s, grad_output);
}

template <class Device>
Tensor adaptive_avg_pool2d(const Tensor& input, int64_t h_out, int64_t w_out) {
  return average_forward<AdaptiveAvgPool2d, Device>(
      adaptive_shape(forward_sizes(input, h_out, w_out), preferred_layout(input)), input);
}

template <class Device>
Tensor adaptive_avg_pool2d_backward(const Tensor& grad_output, int64_t h_in, int64_t w_in,
                                    bool channels_last) {
  return average_backward<AdaptiveAvgPool2d, Device>(
      adaptive_shape(backward_sizes(grad_output, h_in, w_in), layout_of(channels_last)),
      grad_output);
}

inline void define_averages(StableLibrary& m) {
  define_forward(
      m, "avg_pool2d",
      "(Tensor input, SymInt h_out, SymInt w_out, int k_h, int k_w, int stride_h, int stride_w, "
      "int pad_h, int pad_w, bool count_include_pad, int divisor_override) -> Tensor");
  m.def(
      "avg_pool2d_backward(Tensor grad_output, SymInt h_in, SymInt w_in, bool channels_last, "
      "int k_h, int k_w, int stride_h, int stride_w, int pad_h, int pad_w, "
      "bool count_include_pad, int divisor_override) -> Tensor");
  define_forward(m, "adaptive_avg_pool2d", "(Tensor input, SymInt h_out, SymInt w_out) -> Tensor");
  m.def(
      "adaptive_avg_pool2d_backward(Tensor grad_output, SymInt h_in, SymInt w_in, "
      "bool channels_last) -> Tensor");
}

template <class Device>
void implement_averages(StableLibrary& m) {
  implement_forward(m, "avg_pool2d", TORCH_BOX(&avg_pool2d<Device>));
  m.impl("avg_pool2d_backward", TORCH_BOX(&avg_pool2d_backward<Device>));
  implement_forward(m, "adaptive_avg_pool2d", TORCH_BOX(&adaptive_avg_pool2d<Device>));
  m.impl("adaptive_avg_pool2d_backward", TORCH_BOX(&adaptive_avg_pool2d_backward<Device>));
}

}  // namespace pooling
}  // namespace cnnext
