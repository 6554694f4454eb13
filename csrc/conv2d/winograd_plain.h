// SPDX-License-Identifier: BSD-3-Clause
// The outputs of single tiles as plain sums of products, for tiles whose sums must not pass through
// Winograd's transforms (exact_sums.h):
//
//   y[k] = b[k] + sum over blocks of N channels of [ sum over c, r, s of x w[k] ]
//
// A vector holds N output channels, whose filter lies transposed: filter[c][tap][lane]. The sums of
// a tile stay in registers over a block of channels, and each x is broadcast from where it lies in
// the image. A tap that meets the border is left out, whatever the filter holds there.
#pragma once

#include "conv2d/winograd_tiles.h"

namespace cnnext {
namespace {

template <int N, int Outputs, int Taps>
struct PlainTile {
  static constexpr int kSide = Outputs + Taps - 1;
  static constexpr int64_t kFloats = Outputs * Outputs * N;
  static constexpr int kRows = N == 16 ? Outputs : 2;  // of sums that registers hold

  // Adds the sums over channels [c, c + channels), at most N, of the tile whose outputs begin
  // there.
  static void add(const WinogradShape& g, const float* x, const Prologue<float>& prologue,
                  const TilePosition& at, int64_t c, int64_t channels, const float* filter,
                  float* sums) {
    const bool nchw = g.layout == Layout::nchw;
    const int64_t plane = g.h_in * g.w_in, pixel = nchw ? 1 : g.x_pixel;
    Source source{x + at.image * g.x_pixel * plane + c * (nchw ? plane : 1),
                  nchw ? plane : 1,
                  g.w_in * pixel,
                  pixel,
                  at.h - g.pad_h,
                  at.w - g.pad_w};
    const Inside rows = Inside::of(source.h, kSide, g.h_in);
    const Inside columns = Inside::of(source.w, kSide, g.w_in);
    float prepared[kSide * kSide * N];
    if (prologue.exists()) {
      copy_tile(source, rows, columns, channels, prologue.at(at.image, c), prepared);
      source = {prepared, 1, kSide * N, N, 0, 0};
    }
    const bool whole =
        rows.first == 0 && rows.last == kSide && columns.first == 0 && columns.last == kSide;
    for (int row = 0; row < Outputs; row += kRows) {
      if (whole) {
        add_rows<true>(source, rows, columns, row, channels, filter, sums + row * Outputs * N);
      } else {
        add_rows<false>(source, rows, columns, row, channels, filter, sums + row * Outputs * N);
      }
    }
  }

  // `lanes` output channels from k0; the sums are scratch afterwards.
  static void write(const WinogradShape& g, const TilePosition& at, int64_t k0, int64_t lanes,
                    const Epilogue<float>& epilogue, float* sums, float* y) {
    if (g.pooled) return write_pooled(g, at, k0, lanes, epilogue, sums, y);
    const int64_t rows = min(Outputs, g.h_out - at.h), columns = min(Outputs, g.w_out - at.w);
    const int64_t plane = g.h_out * g.w_out;
    const bool nchw = g.layout == Layout::nchw;
    const TileEpilogue e =
        nchw ? epilogue_of_planes(epilogue, plane).at(k0, 0) : epilogue_of_pixels(epilogue, g.k);
    for (int64_t r = 0; r < rows; ++r) {
      const float* const from = sums + r * Outputs * N;
      const int64_t first = (at.h + r) * g.w_out + at.w;
      if (nchw) {
        float* const to = y + (at.image * g.k + k0) * plane + first;
        transpose_block<N>(from, N, to, plane, columns, lanes);
        finish_rows<N>(to, plane, lanes, columns, e.at_offset(at.image * g.k * plane + first));
        continue;
      }
      float* const to = y + (at.image * plane + first) * g.y_pixel + k0;
      for (int64_t s = 0; s < columns; ++s) {
        store_partial<N>(to + s * g.y_pixel, load<N>(from + s * N), lanes);
      }
      finish_rows<N>(to, g.y_pixel, columns, lanes, e.at(at.image * plane + first, k0));
    }
  }

 private:
  static void write_pooled(const WinogradShape& g, const TilePosition& at, int64_t k0,
                           int64_t lanes, const Epilogue<float>& epilogue, float* sums, float* y) {
    const int64_t rows = min(Outputs, g.h_out - at.h), columns = min(Outputs, g.w_out - at.w);
    const int64_t h = g.in_result(g.h_out), w = g.in_result(g.w_out);
    const int64_t first = g.in_result(at.h) * w + g.in_result(at.w);
    finish_rows<N>(sums, N, Outputs * Outputs, lanes, epilogue_of_pixels(epilogue, 0).at(0, k0));
    if (g.layout == Layout::channels_last) {
      return store_pooled<N>(sums, Outputs * N, N, rows, columns, lanes,
                             y + (at.image * h * w + first) * g.y_pixel + k0, w * g.y_pixel,
                             g.y_pixel);
    }
    const int64_t width = g.in_result(columns);
    store_pooled<N>(sums, Outputs * N, N, rows, columns, N, sums, width * N, N);
    for (int64_t r = 0; r < g.in_result(rows); ++r) {
      transpose_block<N>(sums + r * width * N, N, y + (at.image * g.k + k0) * h * w + first + r * w,
                         h * w, width, lanes);
    }
  }

  struct Source {
    const float* x;  // of the first channel, pixel (0, 0)
    int64_t c, row, pixel;
    int64_t h, w;  // of the first pixel that the tile reads, which may lie outside
  };

  // [row][column][N] of the pixels inside, as the prologue makes them.
  static void copy_tile(const Source& x, const Inside& rows, const Inside& columns,
                        int64_t channels, const Prologue<float>& prologue, float* prepared) {
    for (int64_t i = rows.first; i < rows.last; ++i) {
      for (int64_t j = columns.first; j < columns.last; ++j) {
        float* const pixel = prepared + (i * kSide + j) * N;
        const float* const from = x.x + (x.h + i) * x.row + (x.w + j) * x.pixel;
        for (int64_t c = 0; c < channels; ++c) pixel[c] = from[c * x.c];
        prepare<N>(prologue, 1, channels, pixel, N);
      }
    }
  }

  template <bool kWhole>
  static void add_rows(const Source& x, const Inside& rows, const Inside& columns, int row,
                       int64_t channels, const float* filter, float* sums) {
    f32<N> acc[kRows][Outputs] = {};
    const int64_t first = (x.h + row) * x.row + x.w * x.pixel;
    for (int64_t c = 0; c < channels; ++c) {
      const float* const from = x.x + c * x.c;
      CNNEXT_UNROLL(5)
      for (int r = 0; r < Taps; ++r) {
        CNNEXT_UNROLL(5)
        for (int s = 0; s < Taps; ++s, filter += N) {
          const f32<N> tap = load<N>(filter);
          CNNEXT_UNROLL(4)
          for (int i = 0; i < kRows; ++i) {
            const int h = row + i + r;
            if (!kWhole && (h < rows.first || h >= rows.last)) continue;
            CNNEXT_UNROLL(4)
            for (int j = 0; j < Outputs; ++j) {
              if (!kWhole && (j + s < columns.first || j + s >= columns.last)) continue;
              acc[i][j] += tap * from[first + (i + r) * x.row + (j + s) * x.pixel];
            }
          }
        }
      }
    }
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < Outputs; ++j) {
        float* const sum = sums + (i * Outputs + j) * N;
        store<N>(sum, load<N>(sum) + acc[i][j]);
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
