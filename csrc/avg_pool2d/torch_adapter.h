// SPDX-License-Identifier: BSD-3-Clause
// avg_pool2d for torch tensors on any device.
#pragma once

#include "avg_pool2d/avg_pool2d.h"
#include "common/kernel/window.h"
#include "pooling/torch_pools.h"

namespace cnnext {
namespace avg_pool2d {

inline AvgPool2dShape make_shape(int64_t n, int64_t c, int64_t h_in, int64_t w_in, int64_t h_out,
                                 int64_t w_out, int64_t k_h, int64_t k_w, int64_t stride_h,
                                 int64_t stride_w, int64_t pad_h, int64_t pad_w,
                                 bool count_include_pad, int64_t divisor_override, Layout layout) {
  check_positive(k_h, k_w, "kernel_size");
  check_steps({k_h, k_w, stride_h, stride_w, pad_h, pad_w});
  check_positive(stride_h, stride_w, "stride");
  CNNEXT_CHECK(0 <= pad_h && pad_h <= k_h / 2 && 0 <= pad_w && pad_w <= k_w / 2,
               "padding must be between zero and half of kernel_size, but is (", pad_h, ", ", pad_w,
               ")");
  CNNEXT_CHECK(h_in > 0 && w_in > 0 && h_out > 0 && w_out > 0,
               "input and output must have height and width");
  // The last window has to begin inside the image or its padding before it.
  CNNEXT_CHECK(
      h_out - 1 <= (h_in - 1 + pad_h) / stride_h && w_out - 1 <= (w_in - 1 + pad_w) / stride_w,
      "output (", h_out, " x ", w_out, ") does not fit input (", h_in, " x ", w_in, ")");
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
Tensor forward(const Tensor& input, int64_t h_out, int64_t w_out, int64_t k_h, int64_t k_w,
               int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w,
               bool count_include_pad, int64_t divisor_override) {
  check_dim(input, 4, "input");
  return pooling::average<Device>(
      make_shape(input.size(0), input.size(1), input.size(2), input.size(3), h_out, w_out, k_h, k_w,
                 stride_h, stride_w, pad_h, pad_w, count_include_pad, divisor_override,
                 preferred_layout(input)),
      input);
}

template <class Device>
Tensor backward(const Tensor& grad_output, int64_t h_in, int64_t w_in, bool channels_last,
                int64_t k_h, int64_t k_w, int64_t stride_h, int64_t stride_w, int64_t pad_h,
                int64_t pad_w, bool count_include_pad, int64_t divisor_override) {
  check_dim(grad_output, 4, "grad_output");
  return pooling::average_backward<Device>(
      make_shape(grad_output.size(0), grad_output.size(1), h_in, w_in, grad_output.size(2),
                 grad_output.size(3), k_h, k_w, stride_h, stride_w, pad_h, pad_w, count_include_pad,
                 divisor_override, pooling::layout_of(channels_last)),
      grad_output);
}

inline void define_operators(StableLibrary& m) {
  m.def(
      "avg_pool2d(Tensor input, SymInt h_out, SymInt w_out, int k_h, int k_w, int stride_h, "
      "int stride_w, int pad_h, int pad_w, bool count_include_pad, int divisor_override) "
      "-> Tensor");
  m.def(
      "avg_pool2d_forward(Tensor input, SymInt h_out, SymInt w_out, int k_h, int k_w, "
      "int stride_h, int stride_w, int pad_h, int pad_w, bool count_include_pad, "
      "int divisor_override) -> Tensor");
  m.def(
      "avg_pool2d_backward(Tensor grad_output, SymInt h_in, SymInt w_in, bool channels_last, "
      "int k_h, int k_w, int stride_h, int stride_w, int pad_h, int pad_w, "
      "bool count_include_pad, int divisor_override) -> Tensor");
}

template <class Device>
void implement_operators(StableLibrary& m) {
  m.impl("avg_pool2d", TORCH_BOX(&forward<Device>));
  m.impl("avg_pool2d_forward", TORCH_BOX(&forward<Device>));
  m.impl("avg_pool2d_backward", TORCH_BOX(&backward<Device>));
}

}  // namespace avg_pool2d
}  // namespace cnnext
