// SPDX-License-Identifier: BSD-3-Clause
// Depthwise convolution (one channel a group): lanes are channels.
//
//   forward, input gradient: one task per (gather, image, block of rows, block of channels)
//     copy the rows of input that the rows need (packed_rows.h)
//     for each row, for each run of kPixels outputs, for each vector of channels:
//       the filter's taps one after the other, each loaded once for all pixels of the run
//   weight gradient: one task per vector of channels
//     for each block of rows of all images: copy the rows of x and the rows of dy
//       for each tap: sum dy * x over a row in registers, then add to the tap's sum
//
// With k_h * k_w multiply-adds for each number read and written there is nothing to reuse but the
// filter and the rows that windows share; loads are the limit, and for large images memory.
//
// The zero border to the left and right takes part in the sums, which is wrong only for Inf and NaN
// in the filter, or in dy. Where there is one, pixels at the border take their own taps only.
#pragma once

#include "common/simd/finish.h"
#include "conv2d/packed_rows.h"

namespace cnnext {
namespace {

template <int Lanes, Pass kPass>
struct DepthwiseConv {
  static constexpr int64_t kVectors = 4;  // of channels in a block: whole cache lines in any ISA
  static constexpr int64_t kBlock = kVectors * Lanes;
  static constexpr int kPixels = 6;  // accumulators; with a filter vector they fit 16

  static Plan plan(const Conv2dShape& s, int threads) {
    Plan plan;
    plan.block[0] = threads;
    for (int64_t i = 0; i < geometry_count(s, kPass); ++i) {
      const ConvGeometry g = make_geometry(s, kPass, {}, i);
      const int64_t rows = rows_per_task(g, threads);
      plan.tasks[0] += tasks(g, rows);
      const int64_t floats = (g.taps() + g.packed_rows_floats(rows) + g.w.grid) * kBlock;
      plan.chunk_bytes = max(plan.chunk_bytes, 4 * floats);
    }
    return plan;
  }

  static void run(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    for (int64_t i = 0; i < geometry_count(s, kPass); ++i) {
      const ConvGeometry g = make_geometry(s, kPass, o, i);
      const int64_t rows = rows_per_task(g, static_cast<int>(plan.block[0]));
      const Share share = share_of(tasks(g, rows), slice, plan.tasks[0]);
      for (int64_t task = share.begin; task < share.end; ++task) {
        run_task(g, rows, o, task, reinterpret_cast<float*>(slice.chunk));
      }
    }
  }

 private:
  static int64_t tasks(const ConvGeometry& g, int64_t rows) {
    return g.w.grid == 0 ? 0 : g.images * ceil_div(g.h.grid, rows) * ceil_div(g.groups, kBlock);
  }

  static int64_t rows_per_task(const ConvGeometry& g, int threads) {
    const int64_t planes = g.images * ceil_div(g.groups, kBlock);
    // L1 holds a row's window of them.
    return g.rows_for_threads(l2_floats(2) / kBlock, planes, threads);
  }

  static void run_task(const ConvGeometry& g, int64_t rows_per_task, const Conv2dOperands<float>& o,
                       int64_t task, float* scratch) {
    const int64_t blocks = ceil_div(g.groups, kBlock);
    const int64_t row_blocks = ceil_div(g.h.grid, rows_per_task);
    const int64_t c0 = task % blocks * kBlock;
    const int64_t channels = min(kBlock, g.groups - c0);
    const int64_t i0 = task / blocks % row_blocks * rows_per_task;
    const int64_t rows = min(rows_per_task, g.h.grid - i0);
    const int64_t image = task / blocks / row_blocks;
    // Scratch holds whole vectors of channels; the pixels of the packed rows are that far apart.
    const int64_t width = round_up(channels, Lanes);
    float* const filter = scratch;
    float* const packed_rows = filter + g.taps() * kBlock;
    float* const row_buffer = packed_rows + g.packed_rows_floats(rows_per_task) * kBlock;

    fill_zero(filter, g.taps() * width);
    for (int64_t tap = 0; tap < g.taps(); ++tap) {
      const float* w = o.second + c0 * g.w_group +
                       (g.h.tap_first + tap / g.w.taps * g.h.tap_step) * g.w_h +
                       (g.w.tap_first + tap % g.w.taps * g.w.tap_step) * g.w_w;
      for (int64_t c = 0; c < channels; ++c) filter[tap * width + c] = w[c * g.w_group];
    }
    const int64_t tap_rows = g.tap_rows(rows_per_task);
    if (g.taps() > 0) {
      if (width > channels) fill_zero(packed_rows, g.packed_rows_floats(rows_per_task) * width);
      pack_rows<Lanes>(g, o.first + image * g.in_image(), i0, rows, tap_rows, c0, channels, width,
                       packed_rows, o.prologue.at(image, c0));
    }

    const bool at_border = g.meets_border() && !all_finite<Lanes>(filter, g.taps() * width);
    const int64_t plane = g.h.out_size * g.w.out_size;
    const TileEpilogue of_pixels = epilogue_of_pixels(o.epilogue, g.groups);
    for (int64_t i = 0; i < rows; ++i) {
      const Window window{packed_rows + i * g.h.in_step * g.packed_w() * width,
                          filter,
                          tap_rows * g.packed_w() * width,
                          g.h.taps_inside_of(i0 + i),
                          {0, g.w.taps}};
      const int64_t out_row = (g.h.out_first + (i0 + i) * g.h.out_step) * g.w.out_size;
      if (g.layout == Layout::channels_last) {
        const int64_t pixel = image * plane + out_row + g.w.out_first;
        row(g, at_border, width, channels, window, of_pixels.at(pixel, c0),
            o.result + pixel * g.out_pixel + c0, g.w.out_step * g.out_pixel);
      } else {
        row(g, at_border, width, channels, window, of_pixels.at(0, c0).bias_alone(), row_buffer,
            width);
        const int64_t at = image * g.out_image() + c0 * plane + out_row;
        store_row_nchw<Lanes>(row_buffer, width, g.w, channels, o.result + at, plane);
        finish_rows<Lanes>(o.result + at, plane, channels, g.w.out_size,
                           epilogue_of_planes(o.epilogue, plane).without_bias().at_offset(at));
      }
    }
  }

  // What a row of outputs reads: its part of the packed rows, and the filter.
  struct Window {
    const float* x;
    const float* filter;
    int64_t tap_row;   // floats from one filter row to the next, in the packed rows
    TapRange taps;     // the filter rows that meet the image
    TapRange columns;  // and the taps of each
  };

  // One row of outputs; `width` floats from pixel to pixel in the packed rows, `y_pixel` in y;
  // `at_border` is whether zeros of the border must not meet the filter.
  static void row(const ConvGeometry& g, bool at_border, int64_t width, int64_t channels,
                  const Window& window, const TileEpilogue& epilogue, float* y, int64_t y_pixel) {
    for (int64_t j = 0, count; j < g.w.grid; j += count) {
      count = min(kPixels, g.w.grid - j);
      Window here = window;
      here.x += j * g.w.in_step * width;
      if (at_border && !(g.w.all_taps_inside_of(j) && g.w.all_taps_inside_of(j + count - 1))) {
        count = 1;
        here.columns = g.w.taps_inside_of(j);
      }
      for (int64_t c = 0; c < channels; c += Lanes) {
        Window vector = here;
        vector.x += c;
        vector.filter += c;
        pixels<kPixels>(count, g, width, vector, epilogue.at(j, c), y + j * y_pixel + c, y_pixel,
                        min(Lanes, channels - c));
      }
    }
  }

  template <int Pixels>
  static void pixels(int64_t count, const ConvGeometry& g, int64_t width, const Window& window,
                     const TileEpilogue& epilogue, float* y, int64_t y_pixel, int64_t lanes) {
    if constexpr (Pixels > 1) {
      if (count < Pixels) {
        return pixels<Pixels - 1>(count, g, width, window, epilogue, y, y_pixel, lanes);
      }
    }
    f32<Lanes> acc[Pixels][1] = {};
    const int64_t column_step = g.w.offset_step * width, pixel_step = g.w.in_step * width;
    for (int64_t r = window.taps.first; r < window.taps.last; ++r) {
      const float* filter = window.filter + (r * g.w.taps + window.columns.first) * width;
      for (int64_t t = window.columns.first; t < window.columns.last; ++t, filter += width) {
        const f32<Lanes> tap = load<Lanes>(filter);
        const float* const at = window.x + r * window.tap_row + t * column_step;
        for (int p = 0; p < Pixels; ++p) acc[p][0] += load<Lanes>(at + p * pixel_step) * tap;
      }
    }
    if (!epilogue.is_empty()) finish<Lanes>(acc, epilogue, lanes);
    for (int p = 0; p < Pixels; ++p) store_partial<Lanes>(y + p * y_pixel, acc[p][0], lanes);
  }
};

template <int Lanes>
struct DepthwiseBackwardWeight {
  static Plan plan(const Conv2dShape& s, int) {
    const ConvGeometry g = make_geometry(s, Pass::forward, {}, 0);
    const int64_t rows = rows_at_once(g);
    Plan plan;
    plan.tasks[0] = ceil_div(g.groups, Lanes);
    plan.chunk_bytes = 4 * Lanes * (g.taps() + g.packed_rows_floats(rows) + rows * g.w.grid);
    return plan;
  }

  static void run(const Conv2dShape& s, const Plan&, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    const ConvGeometry g = make_geometry(s, Pass::forward, o, 0);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      run_task(g, o, task * Lanes, reinterpret_cast<float*>(slice.chunk));
    }
  }

 private:
  static int64_t rows_at_once(const ConvGeometry& g) {
    return g.rows_within(l2_floats(1) / Lanes);  // beside the rows of dy
  }

  static void run_task(const ConvGeometry& g, const Conv2dOperands<float>& o, int64_t c0,
                       float* scratch) {
    const int64_t channels = min(Lanes, g.groups - c0);
    const int64_t block = rows_at_once(g);
    float* const sums = scratch;
    float* const packed_rows = sums + g.taps() * Lanes;
    float* const dy = packed_rows + g.packed_rows_floats(block) * Lanes;
    fill_zero(scratch, Lanes * (g.taps() + g.packed_rows_floats(block) + block * g.w.grid));
    for (int64_t image = 0; image < g.images; ++image) {
      for (int64_t i0 = 0; i0 < g.h.grid; i0 += block) {
        const int64_t rows = min(block, g.h.grid - i0);
        pack_rows<Lanes>(g, o.second + image * g.in_image(), i0, rows, g.tap_rows(block), c0,
                         channels, Lanes, packed_rows);
        for (int64_t i = 0; i < rows; ++i) {
          pack_pixels<Lanes>(o.first + image * g.out_image(), g.layout, g.out_pixel, g.h.out_size,
                             g.w.out_size, i0 + i, 0, g.w.grid, c0, channels,
                             dy + i * g.w.grid * Lanes, Lanes);
          add_row(g, g.h.taps_inside_of(i0 + i),
                  packed_rows + i * g.h.in_step * g.packed_w() * Lanes,
                  g.tap_rows(block) * g.packed_w() * Lanes, dy + i * g.w.grid * Lanes, sums);
        }
      }
    }
    for (int64_t tap = 0; tap < g.taps(); ++tap) {
      float* const dw = o.result + c0 * g.w_group + tap / g.w.taps * g.w_h + tap % g.w.taps * g.w_w;
      for (int64_t c = 0; c < channels; ++c) dw[c * g.w_group] = sums[tap * Lanes + c];
    }
  }

  static void add_row(const ConvGeometry& g, TapRange taps, const float* x, int64_t tap_row,
                      const float* dy, float* sums) {
    constexpr int kTaps = 4;  // accumulators that share the loads of dy
    const bool finite = !g.meets_border() || all_finite<Lanes>(dy, g.w.grid * Lanes);
    for (int64_t r = taps.first; r < taps.last; ++r) {
      const float* const x_row = x + r * tap_row;
      float* const sum = sums + r * g.w.taps * Lanes;
      const TapRange all{0, g.w.grid};
      int64_t t = 0;
      for (; t + kTaps <= g.w.taps && finite; t += kTaps) {
        add_taps<kTaps>(g, x_row, dy, all, t, sum);
      }
      for (; t < g.w.taps; ++t) {
        add_taps<1>(g, x_row, dy, finite ? all : g.w.outputs_inside_of(t), t, sum);
      }
    }
  }

  template <int Taps>
  static void add_taps(const ConvGeometry& g, const float* x, const float* dy,
                       const TapRange& pixels, int64_t t, float* sum) {
    f32<Lanes> acc[Taps] = {};
    for (int64_t j = pixels.first; j < pixels.last; ++j) {
      const f32<Lanes> dy_vec = load<Lanes>(dy + j * Lanes);
      for (int i = 0; i < Taps; ++i) {
        acc[i] += dy_vec * load<Lanes>(x + (j * g.w.in_step + (t + i) * g.w.offset_step) * Lanes);
      }
    }
    for (int i = 0; i < Taps; ++i) {
      float* const total = sum + (t + i) * Lanes;
      store<Lanes>(total, load<Lanes>(total) + acc[i]);
    }
  }
};

}  // namespace
}  // namespace cnnext
