// SPDX-License-Identifier: BSD-3-Clause
// conv2d: the contract between its kernels and its adapters.
//
//   y[n,k,i,j] = sum_{c,r,s} x[n, g*C/G + c, i*stride_h - pad_h + r*dilation_h,
//                                              j*stride_w - pad_w + s*dilation_w] * w[k,c,r,s]
//
// with g = k / (K/G), G groups, c < C/G, r < k_h, s < k_w, and x zero outside the image. The
// gradients are the transposes of this linear map in x and in w:
//
//   dx[n,c,p,q] = sum of dy[n,k,i,j] * w[k,c,r,s] over all terms above that read x[n,c,p,q]
//   dw[k,c,r,s] = sum_{n,i,j} dy[n,k,i,j] * x[n, g*C/G + c, ...]
//
// Stored is what the epilogue (common/kernel/epilogue.h), to which the bias belongs, makes of y. If
// the shape is `pooled`, which only that of a forward pass may be, stored is the max-pool of that
// instead, of windows of 2x2 with stride 2: a last odd row or column is left out, NaN is larger
// than any number, and there is no residual. x is what the prologue (prologue.h beside it) makes of
// the first operand of a forward pass.
//
// In a forward pass in channels_last x alone may be in nchw, as callers have it; its planes are
// dense then.
//
// A forward pass in channels_last may be of some rows of y alone, of each image: it reads and
// writes no others, so that the first operand and the result may point to where whole images would
// begin of which there are only the rows that are needed.
//
// Names: x input, w weight, y output, dx dw dy their gradients; n images, c channels in,
// k channels out, r s filter taps. x, y, dx and dy are dense in `layout`, but for x and the result
// of a forward pass that is channels_last, whose pixels may be some distance apart (pixel_distance,
// in kernel.h), as those of the residual; w has any strides; dw is dense in torch's default order
// or in channels_last. The adapter allocates everything; a kernel writes every element of its
// result. Sizes of zero never reach a kernel: n, c_in, c_out, h_out, w_out, h_result and w_result
// are positive.
#pragma once

#include <cstdint>

#include "common/kernel/epilogue.h"
#include "common/kernel/kernel.h"
#include "common/kernel/prologue.h"
#include "common/kernel/window.h"

namespace cnnext {

// Winograd's transforms that sums may pass through, by what is known of the values (exact_sums.h):
// all; or those of F(2,3), in which an output is made of its own window alone; or none.
enum class Transforms : int { none, local, any };

// Those of F(tile, taps).
constexpr Transforms winograd_transforms(int64_t taps, int64_t tile) {
  return taps == 3 && tile == 2 ? Transforms::local : Transforms::any;
}

// What is smaller than this part of a tile's largest is too small for transforms with six points.
constexpr float kDimWindow = 1.0f / 128;

struct RowRange {
  int64_t first = 0, count = 0;  // no rows: all of them
};

struct Conv2dShape {
  int64_t n, c_in, h_in, w_in;
  int64_t c_out, k_h, k_w;
  int64_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  int64_t groups;
  Layout layout;
  bool pooled = false;
  // For kernels that can (select.h):
  RowRange y_rows = {};
  bool x_in_planes = false;

  CNNEXT_INLINE Layout x_layout() const { return x_in_planes ? Layout::nchw : layout; }
  CNNEXT_INLINE SlidingWindows rows() const { return {h_in, k_h, stride_h, pad_h, dilation_h}; }
  CNNEXT_INLINE SlidingWindows columns() const { return {w_in, k_w, stride_w, pad_w, dilation_w}; }
  CNNEXT_INLINE int64_t h_out() const { return rows().count(); }
  CNNEXT_INLINE int64_t w_out() const { return columns().count(); }
  CNNEXT_INLINE int64_t h_result() const { return pooled ? h_out() / 2 : h_out(); }
  CNNEXT_INLINE int64_t w_result() const { return pooled ? w_out() / 2 : w_out(); }
  // The rows and columns of y that the result is made of.
  CNNEXT_INLINE int64_t h_used() const { return pooled ? 2 * h_result() : h_out(); }
  CNNEXT_INLINE int64_t w_used() const { return pooled ? 2 * w_result() : w_out(); }
  CNNEXT_INLINE int64_t c_in_per_group() const { return c_in / groups; }
  CNNEXT_INLINE int64_t c_out_per_group() const { return c_out / groups; }
  // The same convolution without the taps that never meet anything but the zero border; as many
  // are left out at both ends of an axis, which keeps the padding symmetric.
  CNNEXT_INLINE Conv2dShape without_padding_only_taps() const {
    Conv2dShape s = *this;
    trim(s.k_h, s.pad_h, padding_only_taps(h_in, h_out(), k_h, stride_h, pad_h, dilation_h),
         dilation_h);
    trim(s.k_w, s.pad_w, padding_only_taps(w_in, w_out(), k_w, stride_w, pad_w, dilation_w),
         dilation_w);
    return s;
  }
  // Whether the channels of a pixel lie side by side; images of one pixel are alike in both
  // layouts.
  CNNEXT_INLINE bool channels_contiguous() const {
    return layout == Layout::channels_last || h_in * w_in == 1;
  }
  // The rows of y that are computed.
  CNNEXT_INLINE int64_t h_computed() const { return y_rows.count > 0 ? y_rows.count : h_out(); }
  // Multiply-adds of any of the three passes.
  CNNEXT_INLINE double macs() const {
    return static_cast<double>(n) * c_out * h_computed() * w_out() * c_in_per_group() * k_h * k_w;
  }

 private:
  CNNEXT_INLINE static void trim(int64_t& kernel, int64_t& pad, int64_t taps, int64_t dilation) {
    kernel -= 2 * taps;
    pad -= taps * dilation;
  }

  CNNEXT_INLINE static int64_t padding_only_taps(int64_t in, int64_t out, int64_t kernel,
                                                 int64_t stride, int64_t pad, int64_t dilation) {
    int64_t taps = 0;
    while (2 * (taps + 1) < kernel && (taps + 1) * dilation <= pad &&
           (out - 1) * stride - pad + taps * dilation < 0 &&
           (kernel - 1 - taps) * dilation - pad >= in) {
      ++taps;
    }
    return taps;
  }
};

//                 first   second   epilogue   result
//   forward       x       w        of y       y
//   bwd_input     dy      w        -          dx
//   bwd_weight    dy      x        -          dw
template <class T>
struct Conv2dOperands {
  const T* first;
  const T* second;
  Epilogue<T> epilogue;
  T* result;
  int64_t w_strides[4];                       // of w or dw, in elements: k, c, r, s
  int64_t first_pixel = 0, result_pixel = 0;  // forward, channels_last: pixel_distance of x and y
  Prologue<T> prologue;                       // forward, for kernels that take one (select.h)
  Transforms transforms = Transforms::any;    // that the values allow to a kernel called by name

  CNNEXT_INLINE int64_t x_pixel(const Conv2dShape& s) const {
    return pixel_distance(first_pixel, s.c_in);
  }
  CNNEXT_INLINE int64_t y_pixel(const Conv2dShape& s) const {
    return pixel_distance(result_pixel, s.c_out);
  }
};

struct Conv2d {
  static constexpr const char* kName = "conv2d";
  using Shape = Conv2dShape;
  template <class T>
  using Operands = Conv2dOperands<T>;
  static double work(const Shape& s) { return s.macs(); }
};

}  // namespace cnnext
