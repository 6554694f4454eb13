// SPDX-License-Identifier: BSD-3-Clause
// Direct convolution of few output channels: lanes are neighbouring pixels of a row of outputs, so
// that no lane is left for channels that there are not. The input gradient at stride 1 is one of
// few input channels.
//
//   packing: the filter to [filter row][c][tap of the row][k]
//   then one task per (image, block of rows):
//     copy the rows of input that the rows need, a line a channel, with their zero border    -- L1
//     for each row of outputs, for each run of vectors of its pixels:
//       for each filter row that meets the image, channel and tap: load the vectors once, and
//       multiply them with the numbers of all output channels                         -- registers
//
// A row passes through scratch where it has to be transposed, for channels_last, or pooled.
//
// The zero border to the left and right takes part in the sums, which is wrong only for Inf and NaN
// in the filter. With one there, every pixel takes its own taps only.
#pragma once

#include "common/simd/finish.h"
#include "common/simd/prepare.h"
#include "common/simd/strided.h"
#include "conv2d/geometry.h"
#include "conv2d/pooled_store.h"

namespace cnnext {
namespace {

template <int Lanes, Pass kPass>
struct DirectPixels {
  static constexpr bool kPools = kPass == Pass::forward;
  // Registers hold the sums of all channels, of one to four vectors of pixels each.
  static constexpr int kMaxChannels = 8;
  static constexpr int kAccumulators = Lanes == 16 ? 24 : 12;

  static Plan plan(const Conv2dShape& s, int threads) {
    const ConvGeometry g = make_geometry(s, kPass, {}, 0);
    Plan plan;
    plan.weights.order = "rows of taps";
    plan.weights.columns = g.k;
    plan.weights.bytes = 4 * (filter_floats(g) + 1);
    plan.weights.tasks = 1;
    plan.block[0] = rows_per_task(g, threads);
    plan.tasks[0] = g.w.grid == 0 ? 0 : g.images * ceil_div(g.h.grid, plan.block[0]);
    plan.chunk_bytes = 4 * (band_floats(g, plan.block[0]) + 3 * g.k * line(g));
    return plan;
  }

  static void pack(const Conv2dShape& s, const Plan&, const Conv2dOperands<float>& o,
                   const Slice& slice) {
    if (slice.begin == slice.end) return;
    const ConvGeometry g = make_geometry(s, kPass, o, 0);
    const float* const w = o.second + g.h.tap_first * g.w_h + g.w.tap_first * g.w_w;
    const int64_t tap_h = g.h.tap_step * g.w_h, tap_w = g.w.tap_step * g.w_w;
    float* to = reinterpret_cast<float*>(slice.packed);
    bool finite = true;
    for (int64_t r = 0; r < g.h.taps; ++r) {
      for (int64_t c = 0; c < g.c; ++c) {
        for (int64_t t = 0; t < g.w.taps; ++t) {
          for (int64_t k = 0; k < g.k; ++k) {
            const float weight = w[r * tap_h + t * tap_w + c * g.w_c + k * g.w_k];
            finite = finite && is_finite(weight);
            *to++ = weight;
          }
        }
      }
    }
    *to = !finite;
  }

  static void run(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    const ConvGeometry g = make_geometry(s, kPass, o, 0);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      run_task(g, plan.block[0], o, reinterpret_cast<const float*>(slice.packed), task,
               reinterpret_cast<float*>(slice.chunk));
    }
  }

 private:
  static int64_t filter_floats(const ConvGeometry& g) { return g.taps() * g.c * g.k; }

  // Floats of a line of outputs, in whole vectors, and of a line of inputs, which holds what the
  // last of them reads.
  static int64_t line(const ConvGeometry& g) { return round_up(g.w.grid, Lanes); }
  static int64_t input_line(const ConvGeometry& g) { return max(1, g.w.span(line(g))); }
  static int64_t band_floats(const ConvGeometry& g, int64_t rows) {
    return max(0, g.h.span(rows)) * g.c * input_line(g);
  }

  static int64_t rows_per_task(const ConvGeometry& g, int threads) {
    constexpr int64_t kFewRows = 4;  // below, the rows that blocks share cost too much
    const int64_t max_floats = l2_floats(8);
    int64_t rows = max(1, g.h.grid);
    while (rows > kFewRows &&
           (band_floats(g, rows) > max_floats ||
            (threads > 1 && g.images * ceil_div(g.h.grid, rows) < 4 * threads))) {
      rows = ceil_div(rows, 2);
    }
    return g.pooled ? round_up(rows, 2) : rows;
  }

  static void run_task(const ConvGeometry& g, int64_t rows_per_task, const Conv2dOperands<float>& o,
                       const float* filter, int64_t task, float* scratch) {
    const int64_t row_blocks = ceil_div(g.h.grid, rows_per_task), image = task / row_blocks;
    const int64_t i0 = task % row_blocks * rows_per_task;
    const int64_t rows = min(rows_per_task, g.h.grid - i0);
    float* const band = scratch;
    float* const lines = band + band_floats(g, rows_per_task);  // of outputs
    pack_band(g, o, image, i0, rows, band);

    const bool plain = g.meets_border() && filter[filter_floats(g)] != 0;
    const bool nchw = g.layout == Layout::nchw;
    const int64_t plane = g.h.out_size * g.w.out_size;
    const bool adds = o.epilogue.residual != nullptr;
    TileEpilogue epilogue = epilogue_of_planes(o.epilogue, plane);
    if (!nchw) epilogue.residual = nullptr;
    // Lines in scratch cannot be finished before a residual in channels_last is added.
    if (!nchw && adds) epilogue = TileEpilogue{};
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t out_row = g.h.out_first + i0 + i;
      const float* const x = band + i * g.h.in_step * g.c * input_line(g);
      const TapRange taps = g.h.taps_inside_of(i0 + i);
      if (nchw && !g.pooled) {
        const int64_t at = image * g.k * plane + out_row * g.w.out_size;
        sum_row(g, plain, taps, x, filter, epilogue.at(0, 0), at, o.result + at, plane);
        continue;
      }
      float* const to = lines + (g.pooled && i % 2 == 1 ? g.k * line(g) : 0);
      sum_row(g, plain, taps, x, filter, epilogue, 0, to, line(g));
      if (g.pooled) {
        if (i % 2 == 1) store_pooled_row(g, lines, image, out_row / 2, o.result);
        continue;
      }
      const int64_t pixel = image * plane + out_row * g.w.out_size;
      float* const y = o.result + pixel * g.out_pixel;
      transpose_block<Lanes>(to, line(g), y, g.out_pixel, g.k, g.w.grid);
      if (adds) {
        finish_rows<Lanes>(y, g.out_pixel, g.w.grid, g.k,
                           epilogue_of_pixels(o.epilogue, g.k).at(pixel, 0));
      }
    }
  }

  // [row][c][pixel] of what output rows [i0, i0 + rows) read; rows outside of the image are left
  // alone.
  static void pack_band(const ConvGeometry& g, const Conv2dOperands<float>& o, int64_t image,
                        int64_t i0, int64_t rows, float* band) {
    if (g.taps() == 0) return;
    const int64_t length = input_line(g), column = g.w.offset_first;
    const int64_t left = min(length, max(0, -column));
    const int64_t inside = max(0, min(length - left, g.w.in_size - column - left));
    const int64_t first = i0 * g.h.in_step + g.h.offset_first;
    const TapRange present = taps_inside(first, g.h.span(rows), 1, g.h.in_size);
    const int64_t plane = g.h.in_size * g.w.in_size;
    const Prologue<float> prologue = o.prologue.at(image, 0);
    const bool lines = g.in_layout == Layout::nchw || g.in_pixel == 1;
    for (int64_t i = present.first; i < present.last; ++i) {
      float* const row = band + i * g.c * length;
      const int64_t from = (first + i) * g.w.in_size + column + left;
      if (!lines && inside > 0) {
        transpose_block<Lanes>(o.first + image * g.in_image() + from * g.in_pixel, g.in_pixel,
                               row + left, length, inside, g.c);
      }
      for (int64_t c = 0; c < g.c; ++c) {
        float* const to = row + c * length;
        fill_zero(to, left);
        if (lines) {
          copy(to + left, o.first + image * g.in_image() + c * plane + from, inside);
        }
        if (prologue.exists()) prepare_line(prologue.at(0, c), inside, to + left);
        fill_zero(to + left + inside, length - left - inside);
      }
    }
  }

  static void prepare_line(const Prologue<float>& prologue, int64_t count, float* line) {
    const auto prepared = PreparedLanes<Lanes>::of_one(prologue);
    for (int64_t i = 0; i < count; i += Lanes) {
      const int64_t lanes = min(Lanes, count - i);
      store_partial<Lanes>(line + i, prepared(load_partial<Lanes>(line + i, lanes)), lanes);
    }
  }

  // A line of outputs a channel, `y_line` apart; `residual` is where that of the line begins.
  static void sum_row(const ConvGeometry& g, bool plain, const TapRange& taps, const float* x,
                      const float* filter, TileEpilogue epilogue, int64_t residual, float* y,
                      int64_t y_line) {
    if (epilogue.residual != nullptr) epilogue.residual += residual;
    if (plain) return sum_pixels(g, taps, x, filter, epilogue, y, y_line);
    for (int64_t j = 0; j < g.w.grid;) {
      const int64_t left = g.w.grid - j;
      const Window window{x + j * g.w.in_step, filter, taps, min(left, kMaxVectors * Lanes)};
      j += sum_vectors<kMaxChannels>(g, window, epilogue.at(0, j), y + j, y_line);
    }
  }

  static constexpr int kMaxVectors = 4;

  struct Window {
    const float *x, *filter;  // of the first output, and of all filter rows
    TapRange taps;            // the filter rows that meet the image
    int64_t pixels;           // of outputs
  };

  // As many vectors of pixels as registers hold, and there are; returns how many pixels those are.
  template <int Channels>
  static int64_t sum_vectors(const ConvGeometry& g, const Window& window,
                             const TileEpilogue& epilogue, float* y, int64_t y_line) {
    if constexpr (Channels > 1) {
      if (g.k < Channels) return sum_vectors<Channels - 1>(g, window, epilogue, y, y_line);
    }
    if constexpr (4 * Channels <= kAccumulators) {
      if (window.pixels > 3 * Lanes) return sum<Channels, 4>(g, window, epilogue, y, y_line);
    }
    if constexpr (2 * Channels <= kAccumulators) {
      if (window.pixels > Lanes) return sum<Channels, 2>(g, window, epilogue, y, y_line);
    }
    return sum<Channels, 1>(g, window, epilogue, y, y_line);
  }

  template <int Channels, int Vectors>
  static int64_t sum(const ConvGeometry& g, const Window& window, const TileEpilogue& epilogue,
                     float* y, int64_t y_line) {
    const int64_t length = input_line(g), step = g.w.in_step;
    const float* w = window.filter + window.taps.first * g.c * g.w.taps * Channels;
    f32<Lanes> acc[Channels][Vectors] = {};
    for (int64_t r = window.taps.first; r < window.taps.last; ++r) {
      const float* x = window.x + r * g.h.offset_step * g.c * length;
      for (int64_t c = 0; c < g.c; ++c, x += length) {
        for (int64_t t = 0; t < g.w.taps; ++t, w += Channels) {
          const float* const from = x + t * g.w.offset_step;
          f32<Lanes> in[Vectors];
          CNNEXT_UNROLL(16)
          for (int v = 0; v < Vectors; ++v) {
            in[v] = load_strided<Lanes>(from + v * Lanes * step, step);
          }
          CNNEXT_UNROLL(16)
          for (int k = 0; k < Channels; ++k) {
            const f32<Lanes> weight = broadcast<Lanes>(w[k]);
            CNNEXT_UNROLL(16)
            for (int v = 0; v < Vectors; ++v) acc[k][v] += in[v] * weight;
          }
        }
      }
    }
    const int64_t pixels = min(window.pixels, Vectors * Lanes);
    const int64_t rest = pixels - (Vectors - 1) * Lanes;
    if (!epilogue.is_empty()) finish<Lanes>(acc, epilogue, pixels);
    CNNEXT_UNROLL(16)
    for (int k = 0; k < Channels; ++k) {
      CNNEXT_UNROLL(16)
      for (int v = 0; v < Vectors - 1; ++v) store<Lanes>(y + k * y_line + v * Lanes, acc[k][v]);
      store_partial<Lanes>(y + k * y_line + (Vectors - 1) * Lanes, acc[k][Vectors - 1], rest);
    }
    return pixels;
  }

  // Each pixel by itself, of each filter row only the taps that meet the image.
  static void sum_pixels(const ConvGeometry& g, const TapRange& taps, const float* x,
                         const float* filter, const TileEpilogue& epilogue, float* y,
                         int64_t y_line) {
    for (int64_t k = 0; k < g.k; ++k) {
      for (int64_t j = 0; j < g.w.grid; ++j) {
        const TapRange inside = g.w.taps_inside_of(j);
        float sum = 0;
        for (int64_t r = taps.first; r < taps.last; ++r) {
          for (int64_t c = 0; c < g.c; ++c) {
            const float* const line = x + (r * g.h.offset_step * g.c + c) * input_line(g);
            const float* const w = filter + (r * g.c + c) * g.w.taps * g.k + k;
            for (int64_t t = inside.first; t < inside.last; ++t) {
              sum += line[j * g.w.in_step + t * g.w.offset_step] * w[t * g.k];
            }
          }
        }
        y[k * y_line + j] = sum;
      }
    }
    finish_rows<Lanes>(y, y_line, g.k, g.w.grid, epilogue);
  }

  // Row `row` of the result, of two rows of lines; the maxima pass through a third.
  static void store_pooled_row(const ConvGeometry& g, float* lines, int64_t image, int64_t row,
                               float* result) {
    const int64_t width = g.w.grid / 2, all = g.k * line(g);
    const bool nchw = g.layout == Layout::nchw;
    const int64_t plane = g.h.grid / 2 * width;
    for (int64_t k = 0; k < g.k; ++k) {
      const float* const upper = lines + k * line(g);
      const float* const lower = upper + all;
      float* const to = lines + 2 * all + k * line(g);
      for (int64_t j = 0; j < width; j += Lanes) {
        const int64_t first = max(0, min(j, width - Lanes));  // reads nothing past the lines
        const auto pairs = [&](const float* from) {
          return larger_or_nan<Lanes>(load_strided<Lanes>(from + 2 * first, 2),
                                      load_strided<Lanes>(from + 2 * first + 1, 2));
        };
        store<Lanes>(to + first, larger_or_nan<Lanes>(pairs(upper), pairs(lower)));
      }
      if (nchw) {
        copy(result + (image * g.k + k) * plane + row * width, to, width);
      }
    }
    if (nchw) return;
    transpose_block<Lanes>(lines + 2 * all, line(g),
                           result + (image * plane + row * width) * g.out_pixel, g.out_pixel, g.k,
                           width);
  }
};

}  // namespace
}  // namespace cnnext
