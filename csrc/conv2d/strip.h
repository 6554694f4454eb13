// SPDX-License-Identifier: BSD-3-Clause
// The geometry that conv2d's direct kernels share, and the packing of their operands.
//
// Forward and input gradient are the same kind of sum, a gather:
//
//   out[out_first + i*out_step] = sum over taps t of in[i*in_step + offset_first + t*offset_step]
//   w_t
//
// along each axis, for i in a grid. The forward pass is one gather. The input gradient of a strided
// convolution is stride_h * stride_w of them: the positions of dx fall into classes (p mod stride),
// each of which sees its own subset of the taps, and within a class neighbours in dx read
// neighbours in dy. Taps are always numbered so that offsets ascend.
//
// A strip is a horizontal band of the input that a block of output rows needs, copied channels-last
// with its zero border included. Behind it no kernel knows about padding, about the layout of
// the image, or about groups.
#pragma once

#include "common/kernel.h"
#include "common/simd.h"
#include "conv2d/conv2d.h"
#include "conv2d/filter.h"

namespace cnnext {
namespace {

struct Axis {
  int64_t in_size, out_size;  // extents of the tensors
  int64_t grid;               // number of outputs
  int64_t out_first, out_step;
  int64_t in_step;
  int64_t taps, tap_first, tap_step;  // the filter taps used: tap_first + t * tap_step
  int64_t offset_first, offset_step;

  // Input positions that `count` neighbouring outputs span.
  CNNEXT_INLINE int64_t span(int64_t count) const {
    return taps == 0 ? 0 : (count - 1) * in_step + (taps - 1) * offset_step + 1;
  }
};

CNNEXT_INLINE Axis forward_axis(int64_t in_size, int64_t out_size, int64_t kernel, int64_t stride,
                                int64_t pad, int64_t dilation) {
  return {in_size, out_size, out_size, 0, 1, stride, kernel, 0, 1, -pad, dilation};
}

// `in_size` is dy's extent, `out_size` dx's; `phase` the class of positions in dx.
CNNEXT_INLINE Axis backward_axis(int64_t in_size, int64_t out_size, int64_t kernel, int64_t stride,
                                 int64_t pad, int64_t dilation, int64_t phase) {
  Axis axis{};
  axis.in_size = in_size;
  axis.out_size = out_size;
  axis.grid = phase < out_size ? ceil_div(out_size - phase, stride) : 0;
  axis.out_first = phase;
  axis.out_step = stride;
  axis.in_step = 1;
  // dy[i + (phase + pad - r*dilation) / stride] meets tap r wherever the division is exact.
  int64_t first = 0, step = 1;
  while (first < kernel && (phase + pad - first * dilation) % stride != 0) ++first;
  if (first == kernel) return axis;
  while (first + step < kernel && step * dilation % stride != 0) ++step;
  axis.taps = (kernel - 1 - first) / step + 1;
  axis.tap_first = first + (axis.taps - 1) * step;
  axis.tap_step = -step;
  axis.offset_first = (phase + pad - axis.tap_first * dilation) / stride;
  axis.offset_step = step * dilation / stride;
  return axis;
}

// One gather; channel counts are per group.
struct Gather {
  Axis h, w;
  int64_t images, groups, c, k;  // c is summed over, k is produced
  Layout layout;
  int64_t w_group, w_k, w_c, w_h, w_w;  // strides of the filter
  int64_t filter_taps;                  // k_h * k_w, of which h.taps * w.taps are used
  bool taps_side_by_side;               // in memory, in torch's default order

  CNNEXT_INLINE int64_t taps() const { return h.taps * w.taps; }
  CNNEXT_INLINE int64_t strip_w() const { return w.span(w.grid); }
  CNNEXT_INLINE int64_t strip_floats(int64_t rows) const { return h.span(rows) * strip_w() * c; }
};

// Classes of positions; of those of a stride larger than dx, most have no position.
CNNEXT_INLINE int64_t phases_w(const Conv2dShape& s) { return least(s.stride_w, s.w_in); }

CNNEXT_INLINE int64_t gather_count(const Conv2dShape& s, Pass pass) {
  return pass == Pass::forward ? 1 : least(s.stride_h, s.h_in) * phases_w(s);
}

CNNEXT_INLINE Gather make_gather(const Conv2dShape& s, Pass pass, const int64_t (&w_strides)[4],
                                 int64_t index) {
  Gather g;
  g.images = s.n;
  g.groups = s.groups;
  g.layout = s.layout;
  g.w_group = s.c_out_per_group() * w_strides[0];
  g.filter_taps = s.k_h * s.k_w;
  g.taps_side_by_side = w_strides[2] == s.k_w && w_strides[3] == 1;
  g.w_h = w_strides[2];
  g.w_w = w_strides[3];
  if (pass == Pass::forward) {
    g.h = forward_axis(s.h_in, s.h_out(), s.k_h, s.stride_h, s.pad_h, s.dilation_h);
    g.w = forward_axis(s.w_in, s.w_out(), s.k_w, s.stride_w, s.pad_w, s.dilation_w);
    g.c = s.c_in_per_group();
    g.k = s.c_out_per_group();
    g.w_k = w_strides[0];
    g.w_c = w_strides[1];
  } else {
    g.h = backward_axis(s.h_out(), s.h_in, s.k_h, s.stride_h, s.pad_h, s.dilation_h,
                        index / phases_w(s));
    g.w = backward_axis(s.w_out(), s.w_in, s.k_w, s.stride_w, s.pad_w, s.dilation_w,
                        index % phases_w(s));
    g.c = s.c_out_per_group();
    g.k = s.c_in_per_group();
    g.w_k = w_strides[1];
    g.w_c = w_strides[0];
  }
  return g;
}

// A panel of output channels [k0, k0 + Tile::kColumns) of the gather's filter.
template <class Tile>
CNNEXT_INLINE FilterPanel<Tile> filter_panel(const Gather& g, int64_t k0) {
  const FilterTaps taps{g.h.taps,
                        g.w.taps,
                        g.h.tap_first * g.w_h,
                        g.w.tap_first * g.w_w,
                        g.h.tap_step * g.w_h,
                        g.w.tap_step * g.w_w};
  const bool channels_of_taps = g.taps_side_by_side && g.w_c == g.filter_taps;
  return {taps, g.c, least(Tile::kColumns, g.k - k0), g.w_c, g.w_k, channels_of_taps};
}

// Channels [c0, c0 + channels) of the columns [column, column + width) of one image row, as
// dst[pixel * dst_pixel + channel].
template <int N>
void pack_pixels(const float* x, Layout layout, int64_t all_channels, int64_t height,
                 int64_t full_width, int64_t row, int64_t column, int64_t width, int64_t c0,
                 int64_t channels, float* dst, int64_t dst_pixel) {
  if (layout == Layout::nchw) {
    transpose_block<N>(x + (c0 * height + row) * full_width + column, height * full_width, dst,
                       dst_pixel, channels, width);
    return;
  }
  const float* src = x + (row * full_width + column) * all_channels + c0;
  if (channels == all_channels && dst_pixel == channels) {
    copy(dst, src, width * channels);
    return;
  }
  for (int64_t i = 0; i < width; ++i) copy(dst + i * dst_pixel, src + i * all_channels, channels);
}

// The strip [rows][width][channels] whose top left corner is input position (row, column), its
// pixels `pixel` >= channels floats apart. What lies between channels and pixel stays as it is.
template <int N>
void pack_strip(const float* image, Layout layout, int64_t all_channels, int64_t height,
                int64_t full_width, int64_t row, int64_t column, int64_t rows, int64_t width,
                int64_t c0, int64_t channels, int64_t pixel, float* dst) {
  const int64_t left = least(width, most(0, -column));
  const int64_t inside = most(0, least(width, full_width - column) - left);
  for (int64_t i = row; i < row + rows; ++i, dst += width * pixel) {
    if (i < 0 || i >= height || inside == 0) {
      fill_zero(dst, width * pixel);
      continue;
    }
    fill_zero(dst, left * pixel);
    pack_pixels<N>(image, layout, all_channels, height, full_width, i, column + left, inside, c0,
                   channels, dst + left * pixel, pixel);
    fill_zero(dst + (left + inside) * pixel, (width - left - inside) * pixel);
  }
}

// Spreads a row of outputs, `pixel` floats apart, over the planes of their channels; dst is the row
// in the first plane.
template <int N>
void store_row_nchw(const float* row, int64_t pixel, const Axis& w, int64_t channels, float* dst,
                    int64_t plane) {
  if (w.out_step == 1) {
    transpose_block<N>(row, pixel, dst, plane, w.grid, channels);
    return;
  }
  for (int64_t c = 0; c < channels; ++c) {
    float* out = dst + c * plane + w.out_first;
    for (int64_t i = 0; i < w.grid; ++i) out[i * w.out_step] = row[i * pixel + c];
  }
}

}  // namespace
}  // namespace cnnext
