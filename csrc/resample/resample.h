// SPDX-License-Identifier: BSD-3-Clause
// resample: an image of another height and width, as torch's interpolation makes it. The contract
// between its kernels and those who call them.
//
//   nearest:   y[n,i,j,c] = x[n, first(i), first(j), c]
//   bilinear:  y[n,i,j,c] = the mean of x[n, first(i) or second(i), first(j) or second(j), c],
//                           each second one's part of its axis being share()
//
// in channels_last; the pixels of x lie x_pixel, those of y y_pixel elements apart, at least c.
// resampled() has first, second and share, in float32 whatever the elements are: so has torch for
// float32, and which pixel is nearest depends on the rounding.
#pragma once

#include "common/kernel/kernel.h"

namespace cnnext {

enum class Interpolation : int { nearest, bilinear };

struct ResampleShape {
  int64_t n, c, h_in, w_in, h_out, w_out;
  Interpolation interpolation;
  bool align_corners;      // bilinear: the outermost pixels' centres stay where they are
  float ratio_h, ratio_w;  // pixels of x a pixel of y
  int64_t x_pixel, y_pixel;
};

template <class T>
struct ResampleOperands {
  const T* x;
  T* y;
};

struct Resample {
  static constexpr const char* kName = "resample";
  using Shape = ResampleShape;
  template <class T>
  using Operands = ResampleOperands<T>;
  static double work(const Shape& s) { return static_cast<double>(s.n * s.c * s.h_out * s.w_out); }
};

// What a pixel of y is made of along an axis: two neighbours, or twice the same pixel.
struct Neighbours {
  int64_t first, second;
  float share;  // of the second
};

CNNEXT_INLINE Neighbours resampled(int64_t i, int64_t in, int64_t out, float ratio,
                                   const ResampleShape& s) {
  if (in == out) return {i, i, 0};
  if (s.interpolation == Interpolation::nearest) {
    // For twice the size torch looks at no ratio.
    const int64_t at = out == 2 * in ? i / 2 : static_cast<int64_t>(static_cast<float>(i) * ratio);
    const int64_t nearest = min(at, in - 1);
    return {nearest, nearest, 0};
  }
  const float centre = s.align_corners ? ratio * static_cast<float>(i)
                                       : ratio * (static_cast<float>(i) + 0.5f) - 0.5f;
  const float position = centre < 0 ? 0 : centre;
  const int64_t first = min(static_cast<int64_t>(position), in - 1);
  const float share = position - static_cast<float>(first);
  return {first, min(first + 1, in - 1), share > 1 ? 1 : share};
}

CNNEXT_INLINE Neighbours resampled_row(int64_t i, const ResampleShape& s) {
  return resampled(i, s.h_in, s.h_out, s.ratio_h, s);
}
CNNEXT_INLINE Neighbours resampled_column(int64_t i, const ResampleShape& s) {
  return resampled(i, s.w_in, s.w_out, s.ratio_w, s);
}

}  // namespace cnnext
