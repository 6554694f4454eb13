// SPDX-License-Identifier: BSD-3-Clause
// Packed rows are a horizontal band of the input that a block of output rows needs, copied
// channels-last with its zero border to the left and right. Behind it no kernel knows about the
// layout of the image or about groups; the border above and below is left out, with the taps that
// meet it.
#pragma once

#include "common/kernel/kernel.h"
#include "common/simd/prepare.h"
#include "common/simd/simd.h"
#include "conv2d/geometry.h"

namespace cnnext {
namespace {

// Channels [c0, c0 + channels) of the columns [column, column + width) of one image row, as
// dst[pixel * dst_pixel + channel]; x_pixel is the image's pixel_distance.
template <int N>
void pack_pixels(const float* x, Layout layout, int64_t x_pixel, int64_t height, int64_t full_width,
                 int64_t row, int64_t column, int64_t width, int64_t c0, int64_t channels,
                 float* dst, int64_t dst_pixel) {
  if (layout == Layout::nchw) {
    transpose_block<N>(x + (c0 * height + row) * full_width + column, height * full_width, dst,
                       dst_pixel, channels, width);
    return;
  }
  const float* src = x + (row * full_width + column) * x_pixel + c0;
  if (channels == x_pixel && dst_pixel == channels) {
    copy(dst, src, width * channels);
    return;
  }
  for (int64_t i = 0; i < width; ++i) copy(dst + i * dst_pixel, src + i * x_pixel, channels);
}

// What output rows [i0, i0 + rows) read of channels [c0, c0 + channels): input position (h, w) of
// filter row r is row h - first + r * tap_rows of them, where `first` is the lowest h of that
// filter row. Pixels lie `pixel` >= channels floats apart; between, and in rows outside of the
// image, the packed rows hold anything. `prologue` is that of the first channel.
template <int N>
void pack_rows(const ConvGeometry& g, const float* image, int64_t i0, int64_t rows,
               int64_t tap_rows, int64_t c0, int64_t channels, int64_t pixel, float* dst,
               const Prologue<float>& prologue = {}) {
  const int64_t width = g.packed_w(), column = g.w.offset_first;
  const int64_t left = min(width, max(0, -column));
  const int64_t inside = max(0, min(width, g.w.in_size - column) - left);
  const bool overlap = tap_rows == g.h.offset_step;
  const int64_t bands = overlap ? 1 : g.h.taps;
  const int64_t height = overlap ? g.h.span(rows) : g.band_rows(rows);
  for (int64_t band = 0; band < bands; ++band) {
    const int64_t first = i0 * g.h.in_step + g.h.offset_first + band * g.h.offset_step;
    const TapRange present = taps_inside(first, height, 1, g.h.in_size);
    for (int64_t i = present.first; i < present.last; ++i) {
      float* const row = dst + (band * tap_rows + i) * width * pixel;
      fill_zero(row, left * pixel);
      if (inside > 0) {
        pack_pixels<N>(image, g.in_layout, g.in_pixel, g.h.in_size, g.w.in_size, first + i,
                       column + left, inside, c0, channels, row + left * pixel, pixel);
        prepare<N>(prologue, inside, channels, row + left * pixel, pixel);
      }
      fill_zero(row + (left + inside) * pixel, (width - left - inside) * pixel);
    }
  }
}

// Spreads a row of outputs, `pixel` floats apart, over the planes of their channels; dst is the row
// in the first plane.
template <int N>
void store_row_nchw(const float* row, int64_t pixel, const GatherAxis& w, int64_t channels,
                    float* dst, int64_t plane) {
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
