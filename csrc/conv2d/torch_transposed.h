// SPDX-License-Identifier: BSD-3-Clause
// conv_transpose2d for torch tensors: the gradient of a convolution by its input, and a bias.
#pragma once

#include "conv2d/torch_adapter.h"
#include "epilogue/finish.h"

namespace cnnext {
namespace conv2d {

// To each channel of a tensor that is dense in nchw or channels_last.
template <class Device>
void add_bias(const Tensor& output, const Tensor& bias) {
  const int64_t n = output.size(0), c = output.size(1), plane = output.size(2) * output.size(3);
  const bool last = preferred_layout(output) == Layout::channels_last;
  const FinishShape s =
      last ? FinishShape{n * plane, c, 0, 1, c} : FinishShape{c, plane, 1, 0, plane};
  Device::with_element_type(output, [&](auto zero) {
    using T = decltype(zero);
    const Device device(output);
    FinishOperands<T> o{};
    o.epilogue.bias = device.template read<T>(bias);
    for (int64_t image = 0; image < (last ? 1 : n); ++image) {
      o.y = device.template write<T>(output) + image * c * plane;
      o.x = o.y;
      device.template compute<Finish>(Pass::forward, s, o);
    }
  });
}

template <class Device>
Tensor transposed(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                  int64_t h_out, int64_t w_out, int64_t stride_h, int64_t stride_w, int64_t pad_h,
                  int64_t pad_w, int64_t dilation_h, int64_t dilation_w, int64_t groups) {
  std::optional<Tensor> b;
  if (bias.has_value()) {
    check_dim(weight, 4, "weight");
    check_like(*bias, input, "bias");
    check_shape(*bias, {weight.size(1) * groups}, "bias");
    b = dense(*bias);
  }
  const Tensor output = backward_input<Device>(input, weight, h_out, w_out, stride_h, stride_w,
                                               pad_h, pad_w, dilation_h, dilation_w, groups);
  if (b.has_value() && output.numel() > 0) add_bias<Device>(output, *b);
  return output;
}

inline void define_transposed(StableLibrary& m) {
  define_forward(m, "conv_transpose2d",
                 "(Tensor input, Tensor weight, Tensor? bias, SymInt h_out, SymInt w_out, "
                 "int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, "
                 "int dilation_w, int groups) -> Tensor");
}

template <class Device>
void implement_transposed(StableLibrary& m) {
  implement_forward(m, "conv_transpose2d", TORCH_BOX(&transposed<Device>));
}

}  // namespace conv2d
}  // namespace cnnext
