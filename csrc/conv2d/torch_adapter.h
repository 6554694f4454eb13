// SPDX-License-Identifier: BSD-3-Clause
// conv2d for torch tensors on any device: checks, layouts and memory. A Device runs the kernels:
// torch_cpu.cpp and torch_cuda.cpp define theirs.
#pragma once

#include "common/torch/checks.h"
#include "common/torch/results.h"
#include "conv2d/conv2d.h"

namespace cnnext {
namespace conv2d {

// The layout of a result: channels_last if either operand is, as in ATen.
inline Layout result_layout(const Tensor& activation, const Tensor& weight) {
  return prefers_channels_last(activation) || prefers_channels_last(weight) ? Layout::channels_last
                                                                            : Layout::nchw;
}

inline Conv2dShape make_shape(int64_t n, int64_t c_in, int64_t h_in, int64_t w_in,
                              const Tensor& weight, int64_t stride_h, int64_t stride_w,
                              int64_t pad_h, int64_t pad_w, int64_t dilation_h, int64_t dilation_w,
                              int64_t groups, Layout layout) {
  check_dim(weight, 4, "weight");
  check_positive(stride_h, stride_w, "stride");
  CNNEXT_CHECK(pad_h >= 0 && pad_w >= 0, "padding must not be negative, but is (", pad_h, ", ",
               pad_w, ")");
  check_at_most(pad_h, pad_w, kLargestPadding, "padding");
  check_positive(dilation_h, dilation_w, "dilation");
  CNNEXT_CHECK(groups > 0, "groups must be positive, but is ", groups);
  const Conv2dShape s{n,
                      c_in,
                      h_in,
                      w_in,
                      weight.size(0),
                      weight.size(2),
                      weight.size(3),
                      bounded_step(stride_h),
                      bounded_step(stride_w),
                      pad_h,
                      pad_w,
                      bounded_step(dilation_h),
                      bounded_step(dilation_w),
                      groups,
                      layout};
  CNNEXT_CHECK(s.c_out % groups == 0, "groups=", groups, " must divide the ", s.c_out,
               " output channels of weight");
  CNNEXT_CHECK(s.c_in == weight.size(1) * groups, "with groups=", groups, ", weight asks for ",
               weight.size(1) * groups, " input channels, but input has ", s.c_in);
  check_positive(s.k_h, s.k_w, "kernel size");
  CNNEXT_CHECK(h_in >= 0 && w_in >= 0,
               "height and width of input must not be negative, but input is (", h_in, " x ", w_in,
               ")");
  CNNEXT_CHECK(s.rows().fit() && s.columns().fit(), "the padded input (", h_in + 2 * pad_h, " x ",
               w_in + 2 * pad_w, ") is smaller than the kernel (", s.k_h, " x ", s.k_w,
               ", dilation ", dilation_h, " x ", dilation_w, ")");
  return s;
}

inline void check_grad_output(const Tensor& grad_output, const Conv2dShape& s) {
  check_shape(grad_output, {s.n, s.c_out, s.h_out(), s.w_out()}, "grad_output");
}

// How a device computes, unless the caller has another way.
struct AsDevice {
  template <class Device, class T>
  void operator()(const Device& device, Pass pass, const Conv2dShape& s,
                  const Conv2dOperands<T>& o) const {
    device.template compute<Conv2d>(pass, s, o);
  }
};

// `filter` is weight, or in the weight gradient the result: the operand whose strides are asked
// for.
template <class Device, class T, class Compute = AsDevice>
void run(Pass pass, const Conv2dShape& shape, const Tensor& first, const Tensor& second,
         const std::optional<Tensor>& bias, const Tensor& result, const Tensor& filter,
         const Compute& compute = {}) {
  const Conv2dShape s = shape.without_padding_only_taps();
  const Device device(result);
  Conv2dOperands<T> o{device.template read<T>(first),
                      device.template read<T>(second),
                      {},
                      device.template write<T>(result),
                      {}};
  o.epilogue.bias = device.template read<T>(bias);
  for (int d = 0; d < 4; ++d) o.w_strides[d] = filter.stride(d);
  if (pass != Pass::bwd_weight) {
    o.second += (shape.k_h - s.k_h) / 2 * o.w_strides[2] + (shape.k_w - s.k_w) / 2 * o.w_strides[3];
  }
  compute(device, pass, s, o);
}

template <class Device, class Compute>
Tensor forward_by(const Compute& compute, const Tensor& input, const Tensor& weight,
                  const std::optional<Tensor>& bias, int64_t stride_h, int64_t stride_w,
                  int64_t pad_h, int64_t pad_w, int64_t dilation_h, int64_t dilation_w,
                  int64_t groups) {
  check_dim(input, 4, "input");
  check_like(weight, input, "weight");
  const Layout layout = result_layout(input, weight);
  const Conv2dShape s =
      make_shape(input.size(0), input.size(1), input.size(2), input.size(3), weight, stride_h,
                 stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, layout);
  CNNEXT_CHECK(s.c_in > 0, "input must have channels, but has shape ", shape_text(input));
  std::optional<Tensor> b;
  if (bias.has_value()) {
    check_like(*bias, input, "bias");
    check_shape(*bias, {s.c_out}, "bias");
    b = dense(*bias);
  }
  const Tensor output = empty_4d(s.n, s.c_out, s.h_out(), s.w_out(), layout, input);
  if (output.numel() == 0) return output;
  const Tensor x = dense(input, layout);
  Device::with_element_type(input, [&](auto zero) {
    run<Device, decltype(zero)>(Pass::forward, s, x, weight, b, output, weight, compute);
  });
  return output;
}

template <class Device>
Tensor forward(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
               int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h,
               int64_t dilation_w, int64_t groups) {
  return forward_by<Device>(AsDevice(), input, weight, bias, stride_h, stride_w, pad_h, pad_w,
                            dilation_h, dilation_w, groups);
}

// With `into`, dense in either layout, that is the result.
template <class Device, class Compute>
Tensor backward_input_by(const Compute& compute, const Tensor* into, const Tensor& grad_output,
                         const Tensor& weight, int64_t h_in, int64_t w_in, int64_t stride_h,
                         int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h,
                         int64_t dilation_w, int64_t groups) {
  check_dim(grad_output, 4, "grad_output");
  check_dim(weight, 4, "weight");
  check_like(weight, grad_output, "weight");
  const Layout layout =
      into == nullptr ? result_layout(grad_output, weight) : preferred_layout(*into);
  const Conv2dShape s =
      make_shape(grad_output.size(0), weight.size(1) * groups, h_in, w_in, weight, stride_h,
                 stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, layout);
  check_grad_output(grad_output, s);
  const Tensor grad_input =
      into == nullptr ? empty_4d(s.n, s.c_in, h_in, w_in, layout, grad_output) : *into;
  if (grad_input.numel() == 0) return grad_input;
  CNNEXT_CHECK(grad_output.numel() > 0, "grad_output must not be empty, but has shape ",
               shape_text(grad_output));
  const Tensor dy = dense(grad_output, layout);
  Device::with_element_type(dy, [&](auto zero) {
    run<Device, decltype(zero)>(Pass::bwd_input, s, dy, weight, std::nullopt, grad_input, weight,
                                compute);
  });
  return grad_input;
}

template <class Device>
Tensor backward_input(const Tensor& grad_output, const Tensor& weight, int64_t h_in, int64_t w_in,
                      int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w,
                      int64_t dilation_h, int64_t dilation_w, int64_t groups) {
  return backward_input_by<Device>(AsDevice(), nullptr, grad_output, weight, h_in, w_in, stride_h,
                                   stride_w, pad_h, pad_w, dilation_h, dilation_w, groups);
}

// The same into the memory of `self`, which has the shape of the input.
template <class Device>
void backward_input_(const Tensor& self, const Tensor& grad_output, const Tensor& weight,
                     int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w,
                     int64_t dilation_h, int64_t dilation_w, int64_t groups) {
  check_dim(self, 4, "self");
  check_dim(grad_output, 4, "grad_output");
  check_dim(weight, 4, "weight");
  check_like(self, grad_output, "self");
  check_allocated(self);
  CNNEXT_CHECK(is_dense(self, preferred_layout(self)), "self must be dense, but has shape ",
               shape_text(self), " and strides ", in_brackets(self.strides()));
  CNNEXT_CHECK(
      groups > 0 && self.size(0) == grad_output.size(0) && self.size(1) == weight.size(1) * groups,
      "self must have the shape of the input, but has ", shape_text(self));
  backward_input_by<Device>(AsDevice(), &self, grad_output, weight, self.size(2), self.size(3),
                            stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups);
}

// The result has the shape of weight, whose values are not read.
template <class Device>
Tensor backward_weight(const Tensor& grad_output, const Tensor& input, const Tensor& weight,
                       int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w,
                       int64_t dilation_h, int64_t dilation_w, int64_t groups) {
  check_dim(input, 4, "input");
  check_like(input, grad_output, "input");
  check_like(weight, grad_output, "weight");
  const Layout layout = result_layout(input, weight);
  const Conv2dShape s =
      make_shape(input.size(0), input.size(1), input.size(2), input.size(3), weight, stride_h,
                 stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, layout);
  check_grad_output(grad_output, s);
  const Tensor grad_weight =
      empty_4d(s.c_out, s.c_in_per_group(), s.k_h, s.k_w, layout, grad_output);
  if (grad_weight.numel() == 0) return grad_weight;
  if (grad_output.numel() == 0) return torch::stable::fill_(grad_weight, 0);  // an empty batch
  const Tensor dy = dense(grad_output, layout), x = dense(input, layout);
  const Conv2dShape used = s.without_padding_only_taps();
  const bool all_used = used.k_h == s.k_h && used.k_w == s.k_w;
  const Tensor part =
      all_used ? grad_weight
               : empty_4d(s.c_out, s.c_in_per_group(), used.k_h, used.k_w, layout, grad_output);
  Device::with_element_type(dy, [&](auto zero) {
    run<Device, decltype(zero)>(Pass::bwd_weight, used, dy, x, std::nullopt, part, part);
  });
  if (!all_used) {  // the gradient of padding-only taps is zero
    Tensor whole = torch::stable::fill_(grad_weight, 0);
    Tensor rows = torch::stable::narrow(whole, 2, (s.k_h - used.k_h) / 2, used.k_h);
    Tensor middle = torch::stable::narrow(rows, 3, (s.k_w - used.k_w) / 2, used.k_w);
    torch::stable::copy_(middle, part);
  }
  return grad_weight;
}

template <class Device>
Tensor backward_bias(const Tensor& grad_output) {
  check_dim(grad_output, 4, "grad_output");
  if (grad_output.numel() == 0) {
    return torch::stable::fill_(
        empty_1d(grad_output.size(1), grad_output, grad_output.scalar_type()), 0);
  }
  return Device::bias_gradient(grad_output);
}

inline void define_operators(StableLibrary& m) {
  define_forward(m, "conv2d",
                 "(Tensor input, Tensor weight, Tensor? bias, int stride_h, int stride_w, int "
                 "pad_h, int pad_w, int dilation_h, int dilation_w, int groups) -> Tensor");
  m.def(
      "conv2d_backward_input(Tensor grad_output, Tensor weight, SymInt h_in, SymInt w_in, "
      "int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w, "
      "int groups) -> Tensor");
  m.def(
      "conv2d_backward_input_(Tensor(a!) self, Tensor grad_output, Tensor weight, int stride_h, "
      "int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w, int groups) -> ()");
  m.def(
      "conv2d_backward_weight(Tensor grad_output, Tensor input, Tensor weight, int stride_h, "
      "int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w, int groups) -> Tensor");
  m.def("conv2d_backward_bias(Tensor grad_output) -> Tensor");
}

template <class Device>
void implement_operators(StableLibrary& m) {
  implement_forward(m, "conv2d", TORCH_BOX(&forward<Device>));
  m.impl("conv2d_backward_input", TORCH_BOX(&backward_input<Device>));
  m.impl("conv2d_backward_input_", TORCH_BOX(&backward_input_<Device>));
  m.impl("conv2d_backward_weight", TORCH_BOX(&backward_weight<Device>));
  m.impl("conv2d_backward_bias", TORCH_BOX(&backward_bias<Device>));
}

}  // namespace conv2d
}  // namespace cnnext
