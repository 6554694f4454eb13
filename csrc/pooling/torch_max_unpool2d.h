// SPDX-License-Identifier: BSD-3-Clause
// max_unpool2d for torch tensors on any device.
#pragma once

#include "common/torch/checks.h"
#include "common/torch/results.h"
#include "pooling/max_unpool2d.h"
#include "pooling/torch_shapes.h"

namespace cnnext {
namespace pooling {

inline void check_indices(const Tensor& indices, const Tensor& like) {
  check_dim(indices, 4, "indices");
  CNNEXT_CHECK(indices.scalar_type() == ScalarType::Long, "indices must have dtype Long, but has ",
               indices.scalar_type());
  check_device(indices, like, "indices");
}

template <class Device>
void max_unpool2d_pass(Pass pass, const MaxUnpool2dShape& s, const Tensor& from,
                       const Tensor& indices, const Tensor& to) {
  Device::with_element_type(from, [&](auto zero) {
    using T = decltype(zero);
    const Device device(to);
    int64_t invalid = 0;
    const MaxUnpool2dOperands<T> o{device.template read<T>(from),
                                   device.template read<int64_t>(indices),
                                   device.template write<T>(to), &invalid};
    device.template compute<MaxUnpool2d>(pass, s, o);
    CNNEXT_CHECK(invalid == 0, "Found an invalid max index: ", invalid,
                 " (output volumes are of size ", s.h_out, "x", s.w_out, ")");
  });
}

template <class Device>
Tensor max_unpool2d(const Tensor& input, const Tensor& indices, int64_t h_out, int64_t w_out) {
  const ImageSizes sizes = forward_sizes(input, h_out, w_out);
  check_areas(sizes);
  check_indices(indices, input);
  check_shape(indices, input.sizes(), "indices");
  const Layout layout = preferred_layout(input);
  const Tensor output = empty_4d(sizes.n, sizes.c, h_out, w_out, layout, input);
  if (output.numel() > 0) {
    const MaxUnpool2dShape s{sizes.n, sizes.c, sizes.h_in, sizes.w_in, h_out, w_out, layout};
    max_unpool2d_pass<Device>(Pass::forward, s, dense(input, layout), dense(indices, layout),
                              output);
  }
  return output;
}

// Returned in nchw, as ATen's. What is gathered from is several times as large, and stays as it is.
template <class Device>
Tensor max_unpool2d_backward(const Tensor& grad_output, const Tensor& indices) {
  check_dim(grad_output, 4, "grad_output");
  check_indices(indices, grad_output);
  const ImageSizes sizes = forward_sizes(indices, grad_output.size(2), grad_output.size(3));
  check_areas(sizes);
  check_shape(grad_output, {sizes.n, sizes.c, sizes.h_out, sizes.w_out}, "grad_output");
  const Layout layout = preferred_layout(grad_output);
  const Tensor grad_input = empty_4d(sizes.n, sizes.c, sizes.h_in, sizes.w_in, layout, grad_output);
  if (grad_input.numel() > 0) {
    const MaxUnpool2dShape s{sizes.n,     sizes.c,     sizes.h_in, sizes.w_in,
                             sizes.h_out, sizes.w_out, layout};
    max_unpool2d_pass<Device>(Pass::bwd_input, s, dense(grad_output, layout),
                              dense(indices, layout), grad_input);
  }
  return dense(grad_input);
}

inline void define_max_unpool2d(StableLibrary& m) {
  define_forward(m, "max_unpool2d",
                 "(Tensor input, Tensor indices, SymInt h_out, SymInt w_out) -> Tensor");
  m.def("max_unpool2d_backward(Tensor grad_output, Tensor indices) -> Tensor");
}

template <class Device>
void implement_max_unpool2d(StableLibrary& m) {
  implement_forward(m, "max_unpool2d", TORCH_BOX(&max_unpool2d<Device>));
  m.impl("max_unpool2d_backward", TORCH_BOX(&max_unpool2d_backward<Device>));
}

}  // namespace pooling
}  // namespace cnnext
