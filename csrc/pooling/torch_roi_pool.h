// SPDX-License-Identifier: BSD-3-Clause
// roi_pool for torch tensors on the CPU, where the numbers of boxes can be looked at.
#pragma once

#include <cmath>
#include <tuple>

#include "common/torch/results.h"
#include "pooling/roi_pool.h"
#include "pooling/torch_maximum.h"
#include "pooling/torch_shapes.h"

namespace cnnext {
namespace pooling {

template <class T>
void check_box_numbers(const T* boxes, int64_t count, int64_t n) {
  for (int64_t k = 0; k < count; ++k, boxes += kBoxNumbers) {
    for (int64_t i = 0; i < kBoxNumbers; ++i) {
      CNNEXT_CHECK(std::isfinite(boxes[i]), "boxes must be finite, but boxes[", k, ", ", i, "] is ",
                   boxes[i]);
    }
    CNNEXT_CHECK(boxes[0] > -1 && boxes[0] < static_cast<T>(n), "boxes[", k,
                 ", 0] must be the index of one of the ", n, " images of input, but is ", boxes[0]);
  }
}

inline RoiPoolShape roi_pool_shape(const ImageSizes& sizes, const Tensor& boxes,
                                   double spatial_scale, Layout layout) {
  check_areas(sizes);
  check_dim(boxes, 2, "boxes");
  CNNEXT_CHECK(boxes.size(1) == kBoxNumbers, "boxes must have shape [K, ", kBoxNumbers,
               "], but has shape ", shape_text(boxes));
  CNNEXT_CHECK(sizes.h_in <= INT32_MAX / sizes.w_in, "input of ", sizes.h_in, " x ", sizes.w_in,
               " has too many positions to count them in 32 bits");
  CNNEXT_CHECK(std::isfinite(spatial_scale), "spatial_scale must be finite, but is ",
               spatial_scale);
  return {sizes.n,     sizes.c,     sizes.h_in,    sizes.w_in, boxes.size(0),
          sizes.h_out, sizes.w_out, spatial_scale, layout};
}

template <class Device>
void roi_pool_pass(Pass pass, const RoiPoolShape& s, const Tensor& in, const Tensor& boxes,
                   const Tensor& out, const Tensor* argmax) {
  Device::with_element_type(in, [&](auto zero) {
    using T = decltype(zero);
    const Device device(out);
    const T* const numbers = device.template read<T>(boxes);
    check_box_numbers(numbers, s.n_boxes, s.n);
    const RoiPoolOperands<T> o{
        device.template read<T>(in), numbers, device.template write<T>(out),
        argmax == nullptr ? nullptr : positions<int32_t>(device, pass, *argmax)};
    device.template compute<RoiPool>(pass, s, o);
  });
}

// Returns y and where the maxima are, which is empty unless `record`.
template <class Device>
std::tuple<Tensor, Tensor> roi_pool(const Tensor& input, const Tensor& boxes, int64_t h_out,
                                    int64_t w_out, double spatial_scale, bool record) {
  const RoiPoolShape s = roi_pool_shape(forward_sizes(input, h_out, w_out), boxes, spatial_scale,
                                        preferred_layout(input));
  check_like(boxes, input, "boxes");
  const Tensor output = empty_4d(s.n_boxes, s.c, h_out, w_out, Layout::nchw, input);
  const Tensor argmax =
      record ? empty_4d(s.n_boxes, s.c, h_out, w_out, Layout::nchw, input, ScalarType::Int)
             : empty_1d(0, input, ScalarType::Int);
  if (output.numel() > 0) {
    roi_pool_pass<Device>(Pass::forward, s, dense(input, s.layout), dense(boxes), output,
                          record ? &argmax : nullptr);
  }
  return {output, argmax};
}

template <class Device>
Tensor roi_pool_backward(const Tensor& grad_output, const Tensor& boxes, const Tensor& argmax,
                         int64_t n, int64_t h_in, int64_t w_in, bool channels_last) {
  const ImageSizes of_output = backward_sizes(grad_output, h_in, w_in);
  CNNEXT_CHECK(n >= 0, "n must not be negative, but is ", n);
  const RoiPoolShape s =
      roi_pool_shape({n, of_output.c, h_in, w_in, of_output.h_out, of_output.w_out}, boxes, 1,
                     layout_of(channels_last));
  check_like(boxes, grad_output, "boxes");
  CNNEXT_CHECK(of_output.n == s.n_boxes, "boxes must have shape [", of_output.n, ", ", kBoxNumbers,
               "], but has shape ", shape_text(boxes));
  CNNEXT_CHECK(argmax.scalar_type() == ScalarType::Int, "argmax must have dtype Int, but has ",
               argmax.scalar_type());
  check_device(argmax, grad_output, "argmax");
  check_shape(argmax, grad_output.sizes(), "argmax");
  const Tensor grad_input = empty_4d(n, s.c, h_in, w_in, s.layout, grad_output);
  if (grad_input.numel() > 0) {
    const Tensor dense_argmax = dense(argmax, Layout::nchw);
    roi_pool_pass<Device>(Pass::bwd_input, s, dense(grad_output, Layout::nchw), dense(boxes),
                          grad_input, &dense_argmax);
  }
  return grad_input;
}

inline void define_roi_pool(StableLibrary& m) {
  define_forward(m, "roi_pool",
                 "(Tensor input, Tensor boxes, SymInt h_out, SymInt w_out, float spatial_scale, "
                 "bool record) -> (Tensor, Tensor)");
  m.def(
      "roi_pool_backward(Tensor grad_output, Tensor boxes, Tensor argmax, SymInt n, SymInt h_in, "
      "SymInt w_in, bool channels_last) -> Tensor");
}

template <class Device>
void implement_roi_pool(StableLibrary& m) {
  implement_forward(m, "roi_pool", TORCH_BOX(&roi_pool<Device>));
  m.impl("roi_pool_backward", TORCH_BOX(&roi_pool_backward<Device>));
}

}  // namespace pooling
}  // namespace cnnext
