// SPDX-License-Identifier: BSD-3-Clause
// The max pools for torch tensors on any device. Where the maxima of max_pool2d were travels
// between its operators as `argmax`: uint8 window offsets, or int64 positions for windows of more
// than 256 elements. Their schemas call it `where`, by which saved programs name the argument.
#pragma once

#include <tuple>

#include "common/torch/results.h"
#include "pooling/adaptive_max_pool2d.h"
#include "pooling/max_pool2d.h"
#include "pooling/torch_shapes.h"

namespace cnnext {
namespace pooling {

// Operands of either pass: positions are written by the forward pass, read by the backward pass.
template <class T, class Device>
T* positions(const Device& device, Pass pass, const Tensor& argmax) {
  if (pass == Pass::forward) return device.template write<T>(argmax);
  return const_cast<T*>(device.template read<T>(argmax));
}

inline MaxPool2dShape max_pool2d_shape(const ImageSizes& sizes, Layout layout, Record record,
                                       int64_t k_h, int64_t k_w, int64_t stride_h, int64_t stride_w,
                                       int64_t pad_h, int64_t pad_w, int64_t dilation_h,
                                       int64_t dilation_w) {
  const auto [n, c, h_in, w_in, h_out, w_out] = sizes;
  const MaxPool2dShape s{n,        c,        h_in,  w_in,  h_out,      w_out,      k_h,    k_w,
                         stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, layout, record};
  check_windows(sizes, s.rows(), s.columns());
  return s;
}

template <class Device>
void max_pool2d_pass(Pass pass, const MaxPool2dShape& s, const Tensor& in, const Tensor& out,
                     const Tensor& argmax) {
  Device::with_element_type(in, [&](auto zero) {
    using T = decltype(zero);
    const Device device(out);
    MaxPool2dOperands<T> o{device.template read<T>(in), device.template write<T>(out), nullptr,
                           nullptr};
    if (s.record == Record::offsets) o.offsets = positions<uint8_t>(device, pass, argmax);
    if (s.record == Record::indices) o.indices = positions<int64_t>(device, pass, argmax);
    device.template compute<MaxPool2d>(pass, s, o);
  });
}

// Returns y and `argmax`, which is empty unless `record`.
template <class Device>
std::tuple<Tensor, Tensor> max_pool2d(const Tensor& input, int64_t h_out, int64_t w_out,
                                      int64_t k_h, int64_t k_w, int64_t stride_h, int64_t stride_w,
                                      int64_t pad_h, int64_t pad_w, int64_t dilation_h,
                                      int64_t dilation_w, bool record) {
  const ImageSizes sizes = forward_sizes(input, h_out, w_out);
  const Layout layout = preferred_layout(input);
  const bool bytes = k_h > 0 && offsets_fit_byte(k_h, k_w);
  const Record kind = !record ? Record::nothing : bytes ? Record::offsets : Record::indices;
  const MaxPool2dShape s = max_pool2d_shape(sizes, layout, kind, k_h, k_w, stride_h, stride_w,
                                            pad_h, pad_w, dilation_h, dilation_w);
  const Tensor output = empty_4d(s.n, s.c, h_out, w_out, layout, input);
  const ScalarType type = bytes ? ScalarType::Byte : ScalarType::Long;
  const Tensor argmax =
      record ? empty_4d(s.n, s.c, h_out, w_out, layout, input, type) : empty_1d(0, input, type);
  if (output.numel() > 0) {
    max_pool2d_pass<Device>(Pass::forward, s, dense(input, layout), output, argmax);
  }
  return {output, argmax};
}

inline void check_argmax(const Tensor& argmax, Record kind, int64_t k_h, int64_t k_w) {
  const ScalarType type = kind == Record::offsets ? ScalarType::Byte : ScalarType::Long;
  CNNEXT_CHECK(argmax.scalar_type() == type,
               "where must hold offsets of dtype Byte or positions of dtype Long, as max_pool2d "
               "recorded them, but has dtype ",
               argmax.scalar_type());
  CNNEXT_CHECK(kind == Record::indices || (k_h > 0 && offsets_fit_byte(k_h, k_w)),
               "where of dtype Byte needs a kernel_size of 1 to ", kLargestByteWindow,
               " elements, but kernel_size is (", k_h, ", ", k_w, ")");
}

template <class Device>
Tensor max_pool2d_backward(const Tensor& grad_output, const Tensor& argmax, int64_t h_in,
                           int64_t w_in, int64_t k_h, int64_t k_w, int64_t stride_h,
                           int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h,
                           int64_t dilation_w) {
  check_dim(grad_output, 4, "grad_output");
  const ImageSizes sizes = backward_sizes(argmax, h_in, w_in, "where");
  const Layout layout = preferred_layout(argmax);
  const Record kind = argmax.scalar_type() == ScalarType::Byte ? Record::offsets : Record::indices;
  check_argmax(argmax, kind, k_h, k_w);
  check_device(argmax, grad_output, "where");
  check_shape(grad_output, argmax.sizes(), "grad_output");
  const MaxPool2dShape s = max_pool2d_shape(sizes, layout, kind, k_h, k_w, stride_h, stride_w,
                                            pad_h, pad_w, dilation_h, dilation_w);
  const Tensor grad_input = empty_4d(s.n, s.c, h_in, w_in, layout, grad_output);
  if (grad_input.numel() > 0) {
    max_pool2d_pass<Device>(Pass::bwd_input, s, dense(grad_output, layout), grad_input,
                            dense(argmax, layout));
  }
  return grad_input;
}

// int64 positions in the plane, as torch returns them, from `argmax`.
template <class Device>
Tensor max_pool2d_indices(const Tensor& argmax, int64_t h_in, int64_t w_in, int64_t k_h,
                          int64_t k_w, int64_t stride_h, int64_t stride_w, int64_t pad_h,
                          int64_t pad_w, int64_t dilation_h, int64_t dilation_w) {
  const ImageSizes sizes = backward_sizes(argmax, h_in, w_in, "where");
  check_argmax(argmax, Record::offsets, k_h, k_w);
  const Layout layout = preferred_layout(argmax);
  const MaxPool2dShape s = max_pool2d_shape(sizes, layout, Record::offsets, k_h, k_w, stride_h,
                                            stride_w, pad_h, pad_w, dilation_h, dilation_w);
  const Tensor result = empty_4d(s.n, s.c, s.h_out, s.w_out, layout, argmax, ScalarType::Long);
  if (result.numel() > 0) {
    const Tensor offsets = dense(argmax, layout);
    const Device device(result);
    device.expand_offsets(s, device.template read<uint8_t>(offsets),
                          device.template write<int64_t>(result));
  }
  return result;
}

template <class Device>
void adaptive_max_pool2d_pass(Pass pass, const AdaptivePoolShape& s, const Tensor& in,
                              const Tensor& out, const Tensor* indices) {
  Device::with_element_type(in, [&](auto zero) {
    using T = decltype(zero);
    const Device device(out);
    const AdaptiveMaxPool2dOperands<T> o{
        device.template read<T>(in), device.template write<T>(out),
        indices == nullptr ? nullptr : positions<int64_t>(device, pass, *indices)};
    device.template compute<AdaptiveMaxPool2d>(pass, s, o);
  });
}

// Returns y and the indices, which are empty unless `record`.
template <class Device>
std::tuple<Tensor, Tensor> adaptive_max_pool2d(const Tensor& input, int64_t h_out, int64_t w_out,
                                               bool record) {
  const AdaptivePoolShape s =
      adaptive_shape(forward_sizes(input, h_out, w_out), preferred_layout(input));
  const Tensor output = empty_4d(s.n, s.c, h_out, w_out, s.layout, input);
  const Tensor indices = record
                             ? empty_4d(s.n, s.c, h_out, w_out, s.layout, input, ScalarType::Long)
                             : empty_1d(0, input, ScalarType::Long);
  if (output.numel() > 0) {
    adaptive_max_pool2d_pass<Device>(Pass::forward, s, dense(input, s.layout), output,
                                     record ? &indices : nullptr);
  }
  return {output, indices};
}

template <class Device>
Tensor adaptive_max_pool2d_backward(const Tensor& grad_output, const Tensor& indices, int64_t h_in,
                                    int64_t w_in) {
  check_dim(grad_output, 4, "grad_output");
  const ImageSizes sizes = backward_sizes(indices, h_in, w_in, "indices");
  CNNEXT_CHECK(indices.scalar_type() == ScalarType::Long, "indices must have dtype Long, but has ",
               indices.scalar_type());
  check_device(indices, grad_output, "indices");
  check_shape(grad_output, indices.sizes(), "grad_output");
  const AdaptivePoolShape s = adaptive_shape(sizes, preferred_layout(indices));
  const Tensor grad_input = empty_4d(s.n, s.c, h_in, w_in, s.layout, grad_output);
  if (grad_input.numel() > 0) {
    const Tensor dense_indices = dense(indices, s.layout);
    adaptive_max_pool2d_pass<Device>(Pass::bwd_input, s, dense(grad_output, s.layout), grad_input,
                                     &dense_indices);
  }
  return grad_input;
}

inline void define_maxima(StableLibrary& m) {
  define_forward(
      m, "max_pool2d",
      "(Tensor input, SymInt h_out, SymInt w_out, int k_h, int k_w, int stride_h, int stride_w, "
      "int pad_h, int pad_w, int dilation_h, int dilation_w, bool record) -> (Tensor, Tensor)");
  m.def(
      "max_pool2d_backward(Tensor grad_output, Tensor where, SymInt h_in, SymInt w_in, int k_h, "
      "int k_w, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, "
      "int dilation_w) -> Tensor");
  m.def(
      "max_pool2d_indices(Tensor where, SymInt h_in, SymInt w_in, int k_h, int k_w, "
      "int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w) "
      "-> Tensor");
  define_forward(m, "adaptive_max_pool2d",
                 "(Tensor input, SymInt h_out, SymInt w_out, bool record) -> (Tensor, Tensor)");
  m.def(
      "adaptive_max_pool2d_backward(Tensor grad_output, Tensor indices, SymInt h_in, SymInt w_in) "
      "-> Tensor");
}

template <class Device>
void implement_maxima(StableLibrary& m) {
  implement_forward(m, "max_pool2d", TORCH_BOX(&max_pool2d<Device>));
  m.impl("max_pool2d_backward", TORCH_BOX(&max_pool2d_backward<Device>));
  m.impl("max_pool2d_indices", TORCH_BOX(&max_pool2d_indices<Device>));
  implement_forward(m, "adaptive_max_pool2d", TORCH_BOX(&adaptive_max_pool2d<Device>));
  m.impl("adaptive_max_pool2d_backward", TORCH_BOX(&adaptive_max_pool2d_backward<Device>));
}

}  // namespace pooling
}  // namespace cnnext
