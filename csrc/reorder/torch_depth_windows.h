// SPDX-License-Identifier: BSD-3-Clause
// depth_windows for torch tensors: volumes (n, c, d_in, h, w), and images (n * d_out, c * taps, h,
// w), both dense.
#pragma once

#include "common/torch/checks.h"
#include "common/torch/results.h"
#include "reorder/depth_windows.h"

namespace cnnext {
namespace depth_windows {

inline DepthWindowsShape make_shape(int64_t n, int64_t c, int64_t d_in, int64_t h, int64_t w,
                                    int64_t taps, int64_t stride, int64_t pad, int64_t dilation) {
  CNNEXT_CHECK(taps > 0 && stride > 0 && dilation > 0,
               "taps, stride and dilation must be positive, but are ", taps, ", ", stride, " and ",
               dilation);
  CNNEXT_CHECK(pad >= 0 && pad <= kLargestPadding, "padding must be from 0 to ", kLargestPadding,
               ", but is ", pad);
  const DepthWindowsShape s{
      n, c, d_in, h * w, taps, bounded_step(stride), pad, bounded_step(dilation)};
  CNNEXT_CHECK(d_in >= 0 && s.windows().fit(), "the padded depth ", d_in + 2 * pad,
               " is smaller than a window of ", taps, " with dilation ", dilation);
  return s;
}

template <class Device>
void run(Pass pass, const DepthWindowsShape& s, const Tensor& from, const Tensor& to) {
  if (to.numel() == 0) return;
  Device::with_element_type(from, [&](auto zero) {
    using T = decltype(zero);
    const Device device(to);
    const DepthWindowsOperands<T> o{device.template read<T>(from), device.template write<T>(to)};
    device.template compute<DepthWindows>(pass, s, o);
  });
}

template <class Device>
Tensor forward(const Tensor& input, int64_t taps, int64_t stride, int64_t pad, int64_t dilation) {
  check_dim(input, 5, "input");
  const int64_t h = input.size(3), w = input.size(4);
  const DepthWindowsShape s =
      make_shape(input.size(0), input.size(1), input.size(2), h, w, taps, stride, pad, dilation);
  CNNEXT_CHECK(s.c == 0 || taps <= kMaxElements / s.c, "windows of ", taps, " slices of ", s.c,
               " channels are too large");
  const Tensor output = empty_4d(s.n * s.d_out(), s.c * taps, h, w, Layout::nchw, input);
  run<Device>(Pass::forward, s, dense(input), output);
  return output;
}

// The gradient of an input of the depth d_in.
template <class Device>
Tensor backward(const Tensor& grad_output, int64_t d_in, int64_t taps, int64_t stride, int64_t pad,
                int64_t dilation) {
  check_dim(grad_output, 4, "grad_output");
  const int64_t h = grad_output.size(2), w = grad_output.size(3);
  DepthWindowsShape s = make_shape(0, 0, d_in, h, w, taps, stride, pad, dilation);
  CNNEXT_CHECK(grad_output.size(0) % s.d_out() == 0 && grad_output.size(1) % taps == 0,
               "grad_output must have images for ", s.d_out(), " windows of ", taps,
               " slices, but has shape ", shape_text(grad_output));
  s.n = grad_output.size(0) / s.d_out();
  s.c = grad_output.size(1) / taps;
  const Tensor grad_input = empty_5d(s.n, s.c, d_in, h, w, grad_output);
  run<Device>(Pass::bwd_input, s, dense(grad_output), grad_input);
  return grad_input;
}

inline void define_operators(StableLibrary& m) {
  define_forward(m, DepthWindows::kName,
                 "(Tensor input, int taps, int stride, int padding, int dilation) -> Tensor");
  m.def(
      "depth_windows_backward(Tensor grad_output, SymInt d_in, int taps, int stride, int padding, "
      "int dilation) -> Tensor");
}

template <class Device>
void implement_operators(StableLibrary& m) {
  implement_forward(m, DepthWindows::kName, TORCH_BOX(&forward<Device>));
  m.impl("depth_windows_backward", TORCH_BOX(&backward<Device>));
}

}  // namespace depth_windows
}  // namespace cnnext
