// SPDX-License-Identifier: BSD-3-Clause
// For kernels that let the zero border take part in their sums, which is wrong where it meets an
// Inf or NaN of the filter: the outputs of such filters at the border, added up again without it.
#pragma once

#include "common/kernel/window.h"
#include "common/simd/finish.h"
#include "common/simd/prepare.h"
#include "conv2d/conv2d.h"

namespace cnnext {
namespace {

struct Span {
  int64_t first, last;
};

CNNEXT_INLINE bool filter_is_finite(const Conv2dShape& s, const float* w,
                                    const int64_t (&strides)[4]) {
  bool finite = true;
  for (int64_t c = 0; c < s.c_in; ++c) {
    for (int64_t r = 0; r < s.k_h; ++r) {
      for (int64_t q = 0; q < s.k_w; ++q) {
        finite = finite && is_finite(w[c * strides[1] + r * strides[2] + q * strides[3]]);
      }
    }
  }
  return finite;
}

// A forward pass without groups; `pixels` counts through all images, one after the other. A sum
// that is NaN stays NaN.
template <int N>
void sum_without_border(const Conv2dShape& s, const Conv2dOperands<float>& o, const Span& pixels,
                        const Span& channels) {
  const bool nchw = s.layout == Layout::nchw;
  const int64_t in = s.h_in * s.w_in, out = s.h_out() * s.w_out();
  const int64_t x_c = nchw ? in : 1, x_pixel = nchw ? 1 : o.x_pixel(s);
  for (int64_t k = channels.first; k < channels.last; ++k) {
    const float* const w = o.second + k * o.w_strides[0];
    if (filter_is_finite(s, w, o.w_strides)) continue;
    for (int64_t pixel = pixels.first; pixel < pixels.last; ++pixel) {
      const int64_t image = pixel / out, at = pixel % out;
      const int64_t h = at / s.w_out() * s.stride_h - s.pad_h;
      const int64_t v = at % s.w_out() * s.stride_w - s.pad_w;
      const TapRange rows = taps_inside(h, s.k_h, s.dilation_h, s.h_in);
      const TapRange columns = taps_inside(v, s.k_w, s.dilation_w, s.w_in);
      if (rows.last - rows.first == s.k_h && columns.last - columns.first == s.k_w) continue;
      const float* const x = o.first + image * o.x_pixel(s) * in;
      float sum = 0;
      for (int64_t c = 0; c < s.c_in && sum == sum; ++c) {
        for (int64_t r = rows.first; r < rows.last; ++r) {
          for (int64_t q = columns.first; q < columns.last; ++q) {
            float at[1] = {
                x[c * x_c + ((h + r * s.dilation_h) * s.w_in + v + q * s.dilation_w) * x_pixel]};
            prepare<1>(o.prologue.at(image, c), 1, 1, at, 1);
            sum += w[c * o.w_strides[1] + r * o.w_strides[2] + q * o.w_strides[3]] * at[0];
          }
        }
      }
      const int64_t first = image * s.c_out * out;
      TileEpilogue e =
          nchw ? epilogue_of_planes(o.epilogue, out) : epilogue_of_pixels(o.epilogue, s.c_out);
      if (nchw && e.residual != nullptr) e.residual += first;
      float* const y = o.result + (nchw ? first + k * out + at : pixel * o.y_pixel(s) + k);
      *y = sum;
      finish_rows<N>(y, 0, 1, 1, nchw ? e.at(k, at) : e.at(pixel, k));
    }
  }
}

}  // namespace
}  // namespace cnnext
