// SPDX-License-Identifier: BSD-3-Clause
// What Winograd's kernels work on: tiles of outputs, numbered through rows, images and batch.
//
// Forward and input gradient are the same map: the gradient convolves dy with the filter turned by
// 180 degrees, channels in and out exchanged, and the complementary padding.
#pragma once

#include "common/kernel/kernel.h"
#include "conv2d/conv2d.h"

namespace cnnext {
namespace {

// Where a tile's outputs begin in its image.
struct TilePosition {
  int64_t image, h, w;
};

struct WinogradShape {
  int64_t images, c, k;  // c is summed over, k is produced
  int64_t h_in, w_in, h_out, w_out, pad_h, pad_w;
  int64_t tile, tiles_h, tiles_w;  // `tile` outputs a side
  Layout layout;
  bool pooled;                          // then rows and columns of outputs are even in number
  int64_t x_pixel, y_pixel;             // pixel_distance of what is read and written
  int64_t w_first, w_k, w_c, w_h, w_w;  // the filter: offset of its first tap, and strides

  CNNEXT_INLINE int64_t tiles() const { return images * tiles_h * tiles_w; }

  CNNEXT_INLINE TilePosition position(int64_t index) const {
    const int64_t row = index / tiles_w;
    return {row / tiles_h, row % tiles_h * tile, index % tiles_w * tile};
  }

  // So many rows, or columns, of outputs in the result.
  CNNEXT_INLINE int64_t in_result(int64_t outputs) const { return outputs >> pooled; }
};

CNNEXT_INLINE WinogradShape winograd_shape(const Conv2dShape& s, Pass pass, int64_t tile,
                                           const Conv2dOperands<float>& o) {
  const int64_t (&w_strides)[4] = o.w_strides;
  WinogradShape g;
  g.images = s.n;
  g.layout = s.layout;
  g.pooled = s.pooled;
  g.tile = tile;
  if (pass == Pass::forward) {
    g.c = s.c_in;
    g.k = s.c_out;
    g.h_in = s.h_in;
    g.w_in = s.w_in;
    g.h_out = s.h_used();
    g.w_out = s.w_used();
    g.pad_h = s.pad_h;
    g.pad_w = s.pad_w;
    g.w_first = 0;
    g.w_k = w_strides[0];
    g.w_c = w_strides[1];
    g.w_h = w_strides[2];
    g.w_w = w_strides[3];
  } else {
    g.c = s.c_out;
    g.k = s.c_in;
    g.h_in = s.h_out();
    g.w_in = s.w_out();
    g.h_out = s.h_in;
    g.w_out = s.w_in;
    g.pad_h = s.k_h - 1 - s.pad_h;
    g.pad_w = s.k_w - 1 - s.pad_w;
    g.w_first = (s.k_h - 1) * w_strides[2] + (s.k_w - 1) * w_strides[3];
    g.w_k = w_strides[1];
    g.w_c = w_strides[0];
    g.w_h = -w_strides[2];
    g.w_w = -w_strides[3];
  }
  g.x_pixel = pixel_distance(o.first_pixel, g.c);
  g.y_pixel = pixel_distance(o.result_pixel, g.k);
  g.tiles_h = ceil_div(g.h_out, tile);
  g.tiles_w = ceil_div(g.w_out, tile);
  return g;
}

}  // namespace
}  // namespace cnnext
