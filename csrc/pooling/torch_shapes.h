// SPDX-License-Identifier: BSD-3-Clause
// The shapes of pools, checked, from the tensors and numbers that their adapters are given.
#pragma once

#include "common/kernel/window.h"
#include "common/torch/checks.h"
#include "pooling/axis.h"

namespace cnnext {
namespace pooling {

struct ImageSizes {
  int64_t n, c, h_in, w_in, h_out, w_out;
};

inline ImageSizes forward_sizes(const Tensor& input, int64_t h_out, int64_t w_out) {
  check_dim(input, 4, "input");
  return {input.size(0), input.size(1), input.size(2), input.size(3), h_out, w_out};
}

// From grad_output, or from another tensor of the output's shape.
inline ImageSizes backward_sizes(const Tensor& t, int64_t h_in, int64_t w_in,
                                 const char* name = "grad_output") {
  check_dim(t, 4, name);
  return {t.size(0), t.size(1), h_in, w_in, t.size(2), t.size(3)};
}

inline Layout layout_of(bool channels_last) {
  return channels_last ? Layout::channels_last : Layout::nchw;
}

inline void check_areas(const ImageSizes& s) {
  CNNEXT_CHECK(s.h_in > 0 && s.w_in > 0 && s.h_out > 0 && s.w_out > 0,
               "height and width of input and output must be positive, but input is (", s.h_in,
               " x ", s.w_in, ") and output is (", s.h_out, " x ", s.w_out, ")");
}

// The windows along both axes of pools that slide, of which each must reach into the image.
inline void check_windows(const ImageSizes& s, const SlidingWindows& h, const SlidingWindows& w) {
  check_positive(h.taps, w.taps, "kernel_size");
  check_at_most(h.taps, w.taps, kLargestStep, "kernel_size");
  check_positive(h.stride, w.stride, "stride");
  check_at_most(h.stride, w.stride, kLargestStep, "stride");
  check_positive(h.dilation, w.dilation, "dilation");
  check_at_most(h.dilation, w.dilation, kLargestStep, "dilation");
  CNNEXT_CHECK(h.taps - 1 <= kLargestStep / h.dilation && w.taps - 1 <= kLargestStep / w.dilation,
               "(kernel_size - 1) * dilation must not exceed ", kLargestStep,
               ", but kernel_size is (", h.taps, ", ", w.taps, ") and dilation is (", h.dilation,
               ", ", w.dilation, ")");
  CNNEXT_CHECK(0 <= h.pad && h.pad <= h.taps / 2 && 0 <= w.pad && w.pad <= w.taps / 2,
               "padding must be between 0 and half of kernel_size (", h.taps, ", ", w.taps,
               "), but is (", h.pad, ", ", w.pad, ")");
  check_areas(s);
  CNNEXT_CHECK(h.reach_inside(s.h_out) && w.reach_inside(s.w_out), "output (", s.h_out, " x ",
               s.w_out, ") does not fit input (", s.h_in, " x ", s.w_in, ")");
}

inline AdaptivePoolShape adaptive_shape(const ImageSizes& s, Layout layout) {
  check_areas(s);
  CNNEXT_CHECK(s.h_in <= kMaxElements / s.h_out && s.w_in <= kMaxElements / s.w_out, "output (",
               s.h_out, " x ", s.w_out, ") is too large for input (", s.h_in, " x ", s.w_in, ")");
  return {s.n, s.c, s.h_in, s.w_in, s.h_out, s.w_out, layout};
}

}  // namespace pooling
}  // namespace cnnext
