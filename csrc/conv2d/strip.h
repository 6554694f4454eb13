// SPDX-License-Identifier: BSD-3-Clause
// A strip is a horizontal band of the input that a block of output rows needs, copied channels-last
// with its zero border included. Behind it no kernel knows about padding, about the layout of the
// image, or about groups.
#pragma once

#include "common/kernel.h"
#include "common/simd.h"
#include "conv2d/gather.h"

namespace cnnext {
namespace {

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
// pixels `pixel` >= channels floats apart. Between channels and pixel, it holds anything.
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
