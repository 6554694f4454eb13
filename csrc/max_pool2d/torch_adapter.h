// SPDX-License-Identifier: BSD-3-Clause
// max_pool2d for torch tensors on any device. Where the maxima were travels between the operators
// as `where`: uint8 window offsets, or int64 positions for windows of more than 256 elements.
#pragma once

#include <tuple>

#include "common/torch/checks.h"
#include "max_pool2d/max_pool2d.h"

namespace cnnext {
namespace max_pool2d {

inline MaxPool2dShape make_shape(int64_t n, int64_t c, int64_t h_in, int64_t w_in, int64_t h_out,
                                 int64_t w_out, int64_t k_h, int64_t k_w, int64_t stride_h,
                                 int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h,
                                 int64_t dilation_w, Layout layout, Record record) {
  check_positive(k_h, k_w, "kernel_size");
  check_steps({k_h, k_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w});
  check_positive(stride_h, stride_w, "stride");
  check_positive(dilation_h, dilation_w, "dilation");
  CNNEXT_CHECK(k_h - 1 <= kLargestStep / dilation_h && k_w - 1 <= kLargestStep / dilation_w,
               "kernel_size (", k_h, ", ", k_w, ") with dilation (", dilation_h, ", ", dilation_w,
               ") reaches too far");
  CNNEXT_CHECK(0 <= pad_h && pad_h <= k_h / 2 && 0 <= pad_w && pad_w <= k_w / 2,
               "padding must be between zero and half of kernel_size, but is (", pad_h, ", ", pad_w,
               ")");
  CNNEXT_CHECK(h_in > 0 && w_in > 0 && h_out > 0 && w_out > 0,
               "input and output must have height and width");
  CNNEXT_CHECK(windows_reach_inside(h_in, h_out, k_h, stride_h, pad_h, dilation_h) &&
                   windows_reach_inside(w_in, w_out, k_w, stride_w, pad_w, dilation_w),
               "output (", h_out, " x ", w_out, ") does not fit input (", h_in, " x ", w_in, ")");
  return {n,        c,        h_in,  w_in,  h_out,      w_out,      k_h,    k_w,
          stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, layout, record};
}

// Of the maxima: written by the forward pass, read by the backward pass.
template <class T, class Device>
T* positions(const Device& device, Pass pass, const Tensor& where) {
  if (pass == Pass::forward) return device.template write<T>(where);
  return const_cast<T*>(device.template read<T>(where));
}

template <class Device, class T>
void run(Pass pass, const MaxPool2dShape& s, const Tensor& in, const Tensor& out,
         const Tensor* where) {
  const Device device(out);
  MaxPool2dOperands<T> o{device.template read<T>(in), device.template write<T>(out), nullptr,
                         nullptr};
  if (s.record == Record::offsets) o.offsets = positions<uint8_t>(device, pass, *where);
  if (s.record == Record::indices) o.indices = positions<int64_t>(device, pass, *where);
  device.compute(pass, s, o);
}

// Returns y and `where`, which is empty unless `record`.
template <class Device>
std::tuple<Tensor, Tensor> forward(const Tensor& input, int64_t h_out, int64_t w_out, int64_t k_h,
                                   int64_t k_w, int64_t stride_h, int64_t stride_w, int64_t pad_h,
                                   int64_t pad_w, int64_t dilation_h, int64_t dilation_w,
                                   bool record) {
  check_dim(input, 4, "input");
  const Layout layout = preferred_layout(input);
  const bool bytes = k_h > 0 && offsets_fit_byte(k_h, k_w);
  const Record kind = !record ? Record::nothing : bytes ? Record::offsets : Record::indices;
  const MaxPool2dShape s =
      make_shape(input.size(0), input.size(1), input.size(2), input.size(3), h_out, w_out, k_h, k_w,
                 stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, layout, kind);
  const Tensor output = empty_4d(s.n, s.c, h_out, w_out, layout, input);
  const ScalarType where_type = bytes ? ScalarType::Byte : ScalarType::Long;
  const Tensor where = record ? empty_4d(s.n, s.c, h_out, w_out, layout, input, where_type)
                              : empty_1d(0, input, where_type);
  if (output.numel() > 0) {
    const Tensor x = dense(input, layout);
    Device::with_element_type(x, [&](auto zero) {
      run<Device, decltype(zero)>(Pass::forward, s, x, output, record ? &where : nullptr);
    });
  }
  return {output, where};
}

inline void check_where(const Tensor& where, Record kind, int64_t k_h, int64_t k_w) {
  const ScalarType type = kind == Record::offsets ? ScalarType::Byte : ScalarType::Long;
  CNNEXT_CHECK(where.scalar_type() == type,
               "where must be what max_pool2d recorded: uint8 offsets, or int64 positions");
  CNNEXT_CHECK(kind == Record::indices || (k_h > 0 && offsets_fit_byte(k_h, k_w)),
               "uint8 offsets belong to windows of at most ", kLargestByteWindow, " elements");
}

template <class Device>
Tensor backward(const Tensor& grad_output, const Tensor& where, int64_t h_in, int64_t w_in,
                int64_t k_h, int64_t k_w, int64_t stride_h, int64_t stride_w, int64_t pad_h,
                int64_t pad_w, int64_t dilation_h, int64_t dilation_w) {
  check_dim(grad_output, 4, "grad_output");
  check_dim(where, 4, "where");
  const Layout layout = preferred_layout(where);
  const Record kind = where.scalar_type() == ScalarType::Byte ? Record::offsets : Record::indices;
  check_where(where, kind, k_h, k_w);
  CNNEXT_CHECK(where.device() == grad_output.device(), "where must be on grad_output's device");
  check_same_sizes(grad_output, where);
  const MaxPool2dShape s =
      make_shape(where.size(0), where.size(1), h_in, w_in, where.size(2), where.size(3), k_h, k_w,
                 stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, layout, kind);
  const Tensor grad_input = empty_4d(s.n, s.c, h_in, w_in, layout, grad_output);
  if (grad_input.numel() > 0) {
    const Tensor dy = dense(grad_output, layout), positions = dense(where, layout);
    Device::with_element_type(dy, [&](auto zero) {
      run<Device, decltype(zero)>(Pass::bwd_input, s, dy, grad_input, &positions);
    });
  }
  return grad_input;
}

// int64 positions in the plane, as torch returns them, from `where`.
template <class Device>
Tensor indices(const Tensor& where, int64_t h_in, int64_t w_in, int64_t k_h, int64_t k_w,
               int64_t stride_h, int64_t stride_w, int64_t pad_h, int64_t pad_w, int64_t dilation_h,
               int64_t dilation_w) {
  check_dim(where, 4, "where");
  check_where(where, Record::offsets, k_h, k_w);
  const Layout layout = preferred_layout(where);
  const MaxPool2dShape s =
      make_shape(where.size(0), where.size(1), h_in, w_in, where.size(2), where.size(3), k_h, k_w,
                 stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, layout, Record::offsets);
  const Tensor result = empty_4d(s.n, s.c, s.h_out, s.w_out, layout, where, ScalarType::Long);
  if (result.numel() > 0) {
    const Tensor offsets = dense(where, layout);
    const Device device(result);
    device.expand_offsets(s, device.template read<uint8_t>(offsets),
                          device.template write<int64_t>(result));
  }
  return result;
}

inline void define_operators(StableLibrary& m) {
  m.def(
      "max_pool2d(Tensor input, SymInt h_out, SymInt w_out, int k_h, int k_w, int stride_h, "
      "int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w, bool record) "
      "-> (Tensor, Tensor)");
  m.def(
      "max_pool2d_forward(Tensor input, SymInt h_out, SymInt w_out, int k_h, int k_w, "
      "int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w, "
      "bool record) -> (Tensor, Tensor)");
  m.def(
      "max_pool2d_backward(Tensor grad_output, Tensor where, SymInt h_in, SymInt w_in, int k_h, "
      "int k_w, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, "
      "int dilation_w) -> Tensor");
  m.def(
      "max_pool2d_indices(Tensor where, SymInt h_in, SymInt w_in, int k_h, int k_w, "
      "int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w) "
      "-> Tensor");
}

template <class Device>
void implement_operators(StableLibrary& m) {
  m.impl("max_pool2d", TORCH_BOX(&forward<Device>));
  m.impl("max_pool2d_forward", TORCH_BOX(&forward<Device>));
  m.impl("max_pool2d_backward", TORCH_BOX(&backward<Device>));
  m.impl("max_pool2d_indices", TORCH_BOX(&indices<Device>));
}

}  // namespace max_pool2d
}  // namespace cnnext
