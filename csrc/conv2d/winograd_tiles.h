// SPDX-License-Identifier: BSD-3-Clause
// Between images and the points of Winograd's transforms, in both memory layouts.
//
// A transform works on N channels of a tile at a time, a pixel a vector. Images that are
// channels_last hold such vectors; of those in nchw a band of rows is transposed into scratch,
// N channels at a time, and a band of outputs back, so that no pass over the whole image is needed.
// Outputs that are pooled are left in scratch tile by tile, and only their maxima go on from there.
// Where there is a prologue, a band of channels_last is copied there, too.
#pragma once

#include "common/simd/finish.h"
#include "common/simd/prepare.h"
#include "common/simd/simd.h"
#include "conv2d/pooled_store.h"
#include "conv2d/winograd_shape.h"
#include "conv2d/winograd_transforms.h"

namespace cnnext {
namespace {

// Neighbouring tiles of an image whose inputs one band holds: a part of a row of tiles, or where
// rows are short several of them.
struct TileRun {
  static constexpr int64_t kShortRow = 4;

  int64_t count;
  TilePosition first;
  int64_t rows, columns;  // the rectangle of tiles that holds them, from column first_column
  int64_t first_column;

  // The run of tiles that begins at `index`, of at most `max_tiles`.
  static TileRun at(const WinogradShape& g, int64_t index, int64_t max_tiles) {
    TileRun run;
    run.first = g.position(index);
    const int64_t column = index % g.tiles_w;
    if (g.tiles_w <= kShortRow) {
      const int64_t in_image = g.tiles_h * g.tiles_w;
      run.count = min(max_tiles, in_image - index % in_image);
      run.rows = (column + run.count - 1) / g.tiles_w + 1;
      run.columns = g.tiles_w;
      run.first_column = 0;
    } else {
      run.count = min(max_tiles, g.tiles_w - column);
      run.rows = 1;
      run.columns = run.count;
      run.first_column = column;
    }
    return run;
  }
};

// N channels of a rectangle of an image; (h, w) lies at data + (h - h0) * row + (w - w0) * pixel.
template <class Float>
struct Band {
  Float* data;
  int64_t row, pixel;
  int64_t h0, w0;

  CNNEXT_INLINE Float* at(int64_t h, int64_t w) const {
    return data + (h - h0) * row + (w - w0) * pixel;
  }
};

// The part [first, last) of a tile's side that lies within the image.
struct Inside {
  int64_t first, last;

  static CNNEXT_INLINE Inside of(int64_t begin, int64_t count, int64_t size) {
    return {max(0, -begin), min(count, size - begin)};
  }
};

// Where the points of a tile's transform go: point p of channel c of tile t lies at
// data + p * point + c / N * vector + t * tile + c % N.
struct TilePoints {
  float* data;
  int64_t point, vector, tile;
};

// An image that tiles are read from, beginning (pad_h, pad_w) before their outputs.
struct TileSource {
  const float* data;
  int64_t channels, pixel, h, w, pad_h, pad_w;
  Prologue<float> prologue = {};
};

template <class Tile, int Outputs, int Taps>
struct WinogradTiles {
  using Math = Minimal<Outputs, Taps>;
  static constexpr int N = Tile::kLanes;
  static constexpr int kSide = Math::kPoints;  // of a tile's inputs, and of its points
  static constexpr int kPoints = kSide * kSide;
  // The floats of the largest band: a part of a long row of tiles, or short rows from the end of
  // one on.
  static constexpr int64_t kBandFloats = [] {
    int64_t pixels = kSide * ((Tile::kMaxRows - 1) * Outputs + kSide);
    for (int64_t columns = 1; columns <= TileRun::kShortRow; ++columns) {
      const int64_t rows = (columns - 1 + Tile::kMaxRows - 1) / columns + 1;
      pixels = max(pixels, ((rows - 1) * Outputs + kSide) * ((columns - 1) * Outputs + kSide));
    }
    return pixels * N;
  }();

  // V = B^T x B of the tiles [index, index + tiles), at most Tile::kMaxRows, and channels
  // [c0, c0 + channels), both counted from there in v.
  static void read(const WinogradShape& g, const float* x, const Prologue<float>& prologue,
                   int64_t index, int64_t tiles, int64_t c0, int64_t channels, const TilePoints& v,
                   float* scratch) {
    const TileSource source{x, g.c, g.x_pixel, g.h_in, g.w_in, g.pad_h, g.pad_w, prologue};
    read_all<InputTransform>(g, source, index, tiles, c0, channels, v, scratch);
  }

  // P = A dy A^T, likewise.
  static void read_gradient(const WinogradShape& g, const float* dy, int64_t index, int64_t tiles,
                            int64_t k0, int64_t channels, const TilePoints& p, float* scratch) {
    const TileSource source{dy, g.k, g.y_pixel, g.h_out, g.w_out, 0, 0};
    read_all<GradientTransform>(g, source, index, tiles, k0, channels, p, scratch);
  }

  // Writes the outputs of the tiles [index, index + tiles), `lanes` channels from k0, of which m
  // holds the products: m[point * m_point + t * Tile::kColumns + k - k0]. Marks the tiles whose
  // sums are not to be trusted, of which `dim` is as in are_spoiled.
  static void write(const WinogradShape& g, int64_t index, int64_t tiles, int64_t k0, int64_t lanes,
                    const float* m, int64_t m_point, const Epilogue<float>& epilogue, float dim,
                    float* y, uint8_t* marks, float* scratch) {
    const bool nchw = g.layout == Layout::nchw;
    const f32<N> b =
        epilogue.bias == nullptr ? f32<N>{} : load_partial<N>(epilogue.bias + k0, lanes);
    const TileEpilogue of_pixels = epilogue_of_pixels(epilogue, g.k).without_bias().at(0, k0);
    const TileEpilogue of_planes = epilogue_of_planes(epilogue, g.h_out * g.w_out).without_bias();
    const bool finishes_pixels = (!nchw || g.pooled) && !of_pixels.is_empty();
    const bool stores_vectors = nchw || g.pooled || lanes == N;
    float outputs[Outputs * Outputs * N];
    for (int64_t t = 0; t < tiles;) {
      const TileRun run = TileRun::at(g, index + t, tiles - t);
      const Band<float> band = output_band(g, y, run, k0, scratch);
      TilePosition at = run.first;
      for (int64_t i = 0; i < run.count; ++i, ++t) {
        i32<N> low = i32<N>{} + kMagnitudeBits, high{};
        f32<N> sums[Outputs][Outputs];
        transform_output(m + t * Tile::kColumns, m_point, sums);
        const Band<float> to = g.pooled ? Band<float>{outputs, Outputs * N, N, at.h, at.w} : band;
        const int64_t rows = min(Outputs, g.h_out - at.h);
        const int64_t columns = min(Outputs, g.w_out - at.w);
        CNNEXT_UNROLL(4)
        for (int r = 0; r < Outputs; ++r) {
          if (r >= rows) continue;
          CNNEXT_UNROLL(4)
          for (int s = 0; s < Outputs; ++s) {
            if (s >= columns) continue;
            low = smaller<N>(low, magnitude<N>(sums[r][s]));
            high = larger<N>(high, magnitude<N>(sums[r][s]));
            sums[r][s] += b;
          }
          if (finishes_pixels) {
            const int64_t pixel = (at.image * g.h_out + at.h + r) * g.w_out + at.w;
            finish_pixels(sums[r], columns, lanes, of_pixels.at(pixel, 0));
          }
          float* const row = to.at(at.h + r, at.w);
          CNNEXT_UNROLL(4)
          for (int s = 0; s < Outputs; ++s) {
            if (s >= columns) continue;
            if (stores_vectors) {
              store<N>(row + s * to.pixel, sums[r][s]);
            } else {
              store_partial<N>(row + s * to.pixel, sums[r][s], lanes);
            }
          }
        }
        if (g.pooled) {
          store_pooled<N>(outputs, to.row, to.pixel, rows, columns, nchw ? N : lanes,
                          band.at(g.in_result(at.h), g.in_result(at.w)), band.row, band.pixel);
        }
        if (are_spoiled(low, high, dim)) marks[t] = 1;
        advance(g, at);
      }
      if (nchw) {
        write_band(g, band, run, k0, lanes, g.pooled ? TileEpilogue() : of_planes, y);
      }
    }
  }

  // Asks for the memory that write() will fill. Without, a channels_last image waits for each
  // pixel, because a panel of channels is less than a pixel and the prefetchers see gaps.
  static void prefetch_outputs(const WinogradShape& g, int64_t index, int64_t tiles, int64_t k0,
                               int64_t channels, const float* y) {
    constexpr int64_t kLine = 16;
    if (g.layout == Layout::nchw) return;
    const int64_t h = g.in_result(g.h_out), w = g.in_result(g.w_out);
    for (int64_t t = index; t < index + tiles; ++t) {
      const TilePosition at = g.position(t);
      const int64_t rows = g.in_result(min(Outputs, g.h_out - at.h));
      const int64_t columns = g.in_result(min(Outputs, g.w_out - at.w));
      const int64_t row = at.image * h + g.in_result(at.h);
      for (int64_t r = 0; r < rows; ++r) {
        const float* pixel = y + ((row + r) * w + g.in_result(at.w)) * g.y_pixel + k0;
        for (int64_t s = 0; s < columns; ++s, pixel += g.y_pixel) {
          for (int64_t k = 0; k < channels; k += kLine) __builtin_prefetch(pixel + k, 1);
        }
      }
    }
  }

 private:
  // `columns` outputs of a tile's row, each of `lanes` channels.
  CNNEXT_INLINE static void finish_pixels(f32<N> (&sums)[Outputs], int64_t columns, int64_t lanes,
                                          const TileEpilogue& e) {
    if (columns == Outputs) {
      return finish<N>(reinterpret_cast<f32<N>(&)[Outputs][1]>(sums), e, lanes);
    }
    for (int64_t s = 0; s < columns; ++s) {
      finish<N>(reinterpret_cast<f32<N>(&)[1][1]>(sums[s]), e.at(s, 0), lanes);
    }
  }

  struct InputTransform {
    static constexpr int kFrom = kSide;
    CNNEXT_INLINE static void apply(const f32<N> (&d)[kSide], f32<N> (&v)[kSide]) {
      Math::template input<N>(d, v);
    }
  };

  struct GradientTransform {
    static constexpr int kFrom = Outputs;
    CNNEXT_INLINE static void apply(const f32<N> (&dy)[Outputs], f32<N> (&p)[kSide]) {
      Math::template output_transposed<N>(dy, p);
    }
  };

  // Whether a tile's sums, between these magnitudes, must be recomputed as plain sums. Inf and NaN
  // have spread over the tile. With six points a window whose values are small beside its
  // neighbours', or all zero, holds their residues; then its sums are small in nearly all channels,
  // all but those that are zero throughout, while by chance they are in few.
  CNNEXT_INLINE static bool are_spoiled(i32<N> low, i32<N> high, float dim) {
    if (count_lanes<N>(high >= kInfiniteMagnitude) != 0) return true;
    if constexpr (kSide < 6) return false;
    const i32<N> even = reinterpret_cast<f32<N>>(low) > reinterpret_cast<f32<N>>(high) * dim;
    const int exceptions = 8 * count_lanes<N>(even);
    if (exceptions > N) return false;
    const int used = count_lanes<N>(high > 0);
    return used > 0 && exceptions <= used;
  }

  CNNEXT_INLINE static void advance(const WinogradShape& g, TilePosition& at) {
    at.w += Outputs;
    if (at.w >= g.w_out) {
      at.w = 0;
      at.h += Outputs;
    }
  }

  // Channels outermost: of each point, V is then written in the order of its memory.
  template <class Transform>
  static void read_all(const WinogradShape& g, const TileSource& x, int64_t index, int64_t tiles,
                       int64_t c0, int64_t channels, const TilePoints& v, float* scratch) {
    for (int64_t c = 0; c < channels; c += N) {
      const int64_t lanes = min(N, channels - c);
      for (int64_t t = 0; t < tiles;) {
        const TileRun run = TileRun::at(g, index + t, tiles - t);
        const Band<const float> band =
            input_band(g.layout, x, run, Transform::kFrom, c0 + c, lanes, scratch);
        // A band in scratch holds N channels, the last of which may be unused.
        const int64_t loaded = band.data == scratch ? N : lanes;
        TilePosition at = run.first;
        for (int64_t i = 0; i < run.count; ++i, ++t) {
          read_tile<Transform>(x, band, at, loaded, v.data + c / N * v.vector + t * v.tile,
                               v.point);
          advance(g, at);
        }
      }
    }
  }

  static Band<const float> input_band(Layout layout, const TileSource& x, const TileRun& run,
                                      int64_t side, int64_t c0, int64_t lanes, float* scratch) {
    const int64_t plane = x.h * x.w;
    const bool nchw = layout == Layout::nchw;
    if (!nchw && !x.prologue.exists()) {
      return {x.data + run.first.image * plane * x.pixel + c0, x.w * x.pixel, x.pixel, 0, 0};
    }
    const int64_t h = run.first.h - x.pad_h, w = run.first_column * Outputs - x.pad_w;
    const Inside rows = Inside::of(h, (run.rows - 1) * Outputs + side, x.h);
    const Inside columns = Inside::of(w, (run.columns - 1) * Outputs + side, x.w);
    const int64_t height = rows.last - rows.first, width = columns.last - columns.first;
    const Band<const float> band{scratch, width * N, N, h + rows.first, w + columns.first};
    if (height <= 0 || width <= 0) return band;  // the tiles read nothing but border
    // Stale scratch could hold denormals, which are slow.
    if (lanes < N) fill_zero(scratch, height * width * N);
    const int64_t first = band.h0 * x.w + band.w0;
    const float* const src = nchw ? x.data + (run.first.image * x.channels + c0) * plane + first
                                  : x.data + (run.first.image * plane + first) * x.pixel + c0;
    if (!nchw) {
      for (int64_t i = 0; i < height * width; ++i) {
        const float* const from = src + (i / width * x.w + i % width) * x.pixel;
        store<N>(scratch + i * N, load_partial<N>(from, lanes));
      }
    } else if (width == x.w) {  // rows follow each other
      transpose_block<N>(src, plane, scratch, N, lanes, height * width);
    } else {
      for (int64_t i = 0; i < height; ++i) {
        transpose_block<N>(src + i * x.w, plane, scratch + i * width * N, N, lanes, width);
      }
    }
    prepare<N>(x.prologue.at(run.first.image, c0), height * width, lanes, scratch, N);
    return band;
  }

  // Where a run's part of the result goes.
  static Band<float> output_band(const WinogradShape& g, float* y, const TileRun& run, int64_t k0,
                                 float* scratch) {
    const int64_t h = g.in_result(g.h_out), w = g.in_result(g.w_out);
    if (g.layout == Layout::channels_last) {
      return {y + run.first.image * h * w * g.y_pixel + k0, w * g.y_pixel, g.y_pixel, 0, 0};
    }
    const int64_t side = g.in_result(Outputs), first = run.first_column * side;
    return {scratch, min(run.columns * side, w - first) * N, N, g.in_result(run.first.h), first};
  }

  // A run fills its rectangle of tiles but for the first tiles of the first row and the last ones
  // of the last row; those outputs belong to other runs.
  static void write_band(const WinogradShape& g, const Band<float>& band, const TileRun& run,
                         int64_t k0, int64_t lanes, const TileEpilogue& epilogue, float* y) {
    const int64_t h = g.in_result(g.h_out), w = g.in_result(g.w_out), side = g.in_result(Outputs);
    const int64_t plane = h * w, image = (run.first.image * g.k + k0) * plane;
    const auto store_pixels = [&](const float* from, int64_t to, int64_t pixels) {
      transpose_block<N>(from, N, y + image + to, plane, pixels, lanes);
      finish_rows<N>(y + image + to, plane, lanes, pixels, epilogue.at_offset(image + to));
    };
    const int64_t height = min(run.rows * side, h - band.h0), width = band.row / N;
    const int64_t tiles_before = run.first.w / Outputs - run.first_column;  // in the first row
    const int64_t last_tile = (tiles_before + run.count - 1) % run.columns;
    const int64_t before = tiles_before * side, after = min((last_tile + 1) * side, width);
    if (before == 0 && after == width && width == w) {
      return store_pixels(band.data, band.h0 * w, height * width);
    }
    for (int64_t i = 0; i < height; ++i) {
      const int64_t first = i < side ? before : 0;
      const int64_t last = i >= (run.rows - 1) * side ? after : width;
      store_pixels(band.data + (i * width + first) * N, (band.h0 + i) * w + band.w0 + first,
                   last - first);
    }
  }

  template <class Transform>
  CNNEXT_INLINE static void read_tile(const TileSource& x, const Band<const float>& band,
                                      const TilePosition& at, int64_t lanes, float* v,
                                      int64_t v_point) {
    constexpr int kFrom = Transform::kFrom;
    const int64_t h = at.h - x.pad_h, w = at.w - x.pad_w;
    const Inside rows = Inside::of(h, kFrom, x.h), columns = Inside::of(w, kFrom, x.w);
    const float* const first = band.at(h, w);
    const bool whole = rows.first == 0 && rows.last == kFrom && columns.first == 0 &&
                       columns.last == kFrom && lanes == N;
    if (whole) {
      transform<Transform, true>(first, band.row, band.pixel, rows, columns, lanes, v, v_point);
    } else {
      transform<Transform, false>(first, band.row, band.pixel, rows, columns, lanes, v, v_point);
    }
  }

  // First along the rows, then along the columns; what lies outside of the image is zero.
  template <class Transform, bool kWhole>
  CNNEXT_INLINE static void transform(const float* x, int64_t row, int64_t pixel,
                                      const Inside& rows, const Inside& columns, int64_t lanes,
                                      float* v, int64_t v_point) {
    constexpr int kFrom = Transform::kFrom;
    f32<N> half[kFrom][kSide];
    CNNEXT_UNROLL(8)
    for (int i = 0; i < kFrom; ++i) {
      f32<N> d[kFrom] = {};
      CNNEXT_UNROLL(8)
      for (int j = 0; j < kFrom; ++j) {
        if constexpr (kWhole) {
          d[j] = load<N>(x + i * row + j * pixel);
        } else if (i >= rows.first && i < rows.last && j >= columns.first && j < columns.last) {
          d[j] = load_partial<N>(x + i * row + j * pixel, lanes);
        }
      }
      Transform::apply(d, half[i]);
    }
    CNNEXT_UNROLL(8)
    for (int j = 0; j < kSide; ++j) {
      f32<N> column[kFrom], points[kSide];
      for (int i = 0; i < kFrom; ++i) column[i] = half[i][j];
      Transform::apply(column, points);
      for (int i = 0; i < kSide; ++i) store<N>(v + (i * kSide + j) * v_point, points[i]);
    }
  }

  // y = A^T m A, first along the columns, then along the rows.
  CNNEXT_INLINE static void transform_output(const float* m, int64_t m_point,
                                             f32<N> (&y)[Outputs][Outputs]) {
    f32<N> half[Outputs][kSide];
    CNNEXT_UNROLL(8)
    for (int j = 0; j < kSide; ++j) {
      f32<N> column[kSide], sums[Outputs];
      for (int i = 0; i < kSide; ++i) column[i] = load<N>(m + (i * kSide + j) * m_point);
      Math::template output<N>(column, sums);
      for (int i = 0; i < Outputs; ++i) half[i][j] = sums[i];
    }
    CNNEXT_UNROLL(8)
    for (int i = 0; i < Outputs; ++i) Math::template output<N>(half[i], y[i]);
  }
};

}  // namespace
}  // namespace cnnext
