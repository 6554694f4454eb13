// SPDX-License-Identifier: BSD-3-Clause
// avg_pool2d for NumPy arrays: see common/numpy/bindings.h.
#include "avg_pool2d/avg_pool2d.h"
#include "pooling/numpy_average.h"

namespace cnnext {

template <>
AvgPool2dShape read_shape<AvgPool2d>(Fields& f) {
  const AvgPool2dShape s{f.positive("n"),
                         f.positive("c"),
                         f.positive("h_in"),
                         f.positive("w_in"),
                         f.positive("h_out"),
                         f.positive("w_out"),
                         f.positive("k_h"),
                         f.positive("k_w"),
                         f.positive("stride_h"),
                         f.positive("stride_w"),
                         f.natural("pad_h"),
                         f.natural("pad_w"),
                         f.choice<bool>("count_include_pad", {{"yes", true}, {"no", false}}),
                         f.at_least(INT64_MIN, "divisor_override"),
                         f.layout()};
  if (2 * s.pad_h > s.k_h || 2 * s.pad_w > s.k_w ||
      (s.h_out - 1) * s.stride_h >= s.h_in + s.pad_h ||
      (s.w_out - 1) * s.stride_w >= s.w_in + s.pad_w) {
    throw py::value_error("a window lies outside of the image");
  }
  return s;
}

namespace {

[[maybe_unused]] const bool registered = register_bindings(bind_average<AvgPool2d>);

}  // namespace
}  // namespace cnnext
