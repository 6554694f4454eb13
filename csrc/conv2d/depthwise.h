// SPDX-License-Identifier: BSD-3-Clause
// Depthwise convolution (one channel a group): lanes are channels.
//
//   forward, input gradient: one task per (gather, image, block of rows, block of channels); for
//       planes, gathers of the same rows and other columns are one
//     read x where it is, or copy the rows of it that the rows need (packed_rows.h): from planes,
//       where vectors of channels are not whole, or for a prologue
//     for each row, for each run of kPixels outputs, for each vector of channels:
//       the filter's taps one after the other, each loaded once for all pixels of the run
//   weight gradient: one task per vector of channels, or some where nothing is copied
//     for each block of rows of all images: read x and dy where they are, or copy the rows
//       for each row of the filter: sum dy * x over a row in registers, then add to the taps' sums
//
// With k_h * k_w multiply-adds for each number read and written there is nothing to reuse but the
// filter and the rows that windows share; loads are the limit, and for large images memory.
//
// The zero border to the left and right of copied rows takes part in the sums, which is wrong only
// for Inf and NaN in the filter, or in dy. Where there is one, and where nothing is copied, pixels
// at the border take their own taps only.
#pragma once

#include "common/simd/finish.h"
#include "conv2d/packed_rows.h"
#include "gemm/tile.h"

namespace cnnext {
namespace {

template <int Lanes, Pass kPass>
struct DepthwiseConv {
  static constexpr int kVectors = 4;  // of channels in a block: whole cache lines in any ISA
  static constexpr int64_t kBlock = kVectors * Lanes;
  // Accumulators, which with three taps fit 16 registers. The widths of images are often multiples.
  static constexpr int kPixels = 7;

  static Plan plan(const Conv2dShape& s, int threads) {
    Plan plan;
    plan.weights.order = kPass == Pass::forward ? "taps" : "taps of the gradient";
    plan.weights.columns = kBlock;
    plan.weights.optional = true;
    plan.block[0] = threads;
    for (int64_t i = 0, rows = 0; i < geometry_count(s, kPass); ++i) {
      const ConvGeometry g = make_geometry(s, kPass, {}, i);
      plan.weights.tasks += blocks(g);
      plan.weights.bytes += 4 * blocks(g) * filter_floats(g);
      if (i % joined_gathers(s) == 0) {
        rows = rows_per_task(g, threads);
        plan.tasks[0] += tasks(g, rows);
      }
      const int64_t floats =
          filter_floats(g) + (g.packed_rows_floats(rows) + buffer_pixels(g, rows)) * kBlock;
      plan.chunk_bytes = max(plan.chunk_bytes, 4 * floats);
    }
    return plan;
  }

  static void pack(const Conv2dShape& s, const Plan&, const Conv2dOperands<float>& o,
                   const Slice& slice) {
    float* packed = reinterpret_cast<float*>(slice.packed);
    int64_t before = 0;
    for (int64_t i = 0; i < geometry_count(s, kPass); ++i) {
      const ConvGeometry g = make_geometry(s, kPass, o, i);
      const int64_t end = min(slice.end - before, blocks(g));
      for (int64_t block = max(slice.begin - before, 0); block < end; ++block) {
        pack_filter(g, o, block, packed + block * filter_floats(g));
      }
      before += blocks(g);
      packed += blocks(g) * filter_floats(g);
    }
  }

  static void run(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    const float* packed = reinterpret_cast<const float*>(slice.packed);
    const int64_t joined = joined_gathers(s);
    for (int64_t i = 0; i < geometry_count(s, kPass); i += joined) {
      const ConvGeometry g = make_geometry(s, kPass, o, i);
      const int64_t rows = rows_per_task(g, static_cast<int>(plan.block[0]));
      const Share share = share_of(tasks(g, rows), slice, plan.tasks[0]);
      for (int64_t task = share.begin; task < share.end; ++task) {
        run_task(s, i, rows, o, packed, task, reinterpret_cast<float*>(slice.chunk));
      }
      if (packed == nullptr) continue;
      for (int64_t j = i; j < i + joined; ++j) {
        packed += blocks(g) * filter_floats(make_geometry(s, kPass, o, j));
      }
    }
  }

 private:
  // Gathers that write to the same rows of planes, each to some columns, are one task:
  // apart, each would bring the same cache lines from memory.
  static int64_t joined_gathers(const Conv2dShape& s) {
    return kPass == Pass::bwd_input && s.layout == Layout::nchw ? phases_w(s) : 1;
  }

  static int64_t blocks(const ConvGeometry& g) { return ceil_div(g.groups, kBlock); }

  static int64_t tasks(const ConvGeometry& g, int64_t rows) {
    return g.w.grid == 0 ? 0 : g.images * ceil_div(g.h.grid, rows) * blocks(g);
  }

  static int64_t rows_per_task(const ConvGeometry& g, int threads) {
    const int64_t floats = l2_floats(2) / kBlock;  // L1 holds a row's window of them
    int64_t rows = g.rows_for_threads(floats, g.images * blocks(g), threads);
    while (rows > 1 && g.packed_rows_floats(rows) + buffer_pixels(g, rows) > floats) {
      rows = ceil_div(rows, 2);
    }
    return rows;
  }

  // What is kept of outputs before they are spread over planes: a row, or what joined gathers make.
  static int64_t buffer_pixels(const ConvGeometry& g, int64_t rows) {
    if (g.layout == Layout::channels_last) return 0;
    return is_joined(g) ? rows * g.w.out_size : g.w.grid;
  }

  static bool is_joined(const ConvGeometry& g) {
    return g.layout == Layout::nchw && g.w.out_step > 1;
  }

  // A block's filter, [tap][channel] in whole vectors, and behind it whether it has an Inf or NaN.
  static int64_t filter_floats(const ConvGeometry& g) { return (g.taps() + 1) * kBlock; }
  static int64_t channels_of(const ConvGeometry& g, int64_t block) {
    return min(kBlock, g.groups - block * kBlock);
  }

  static void pack_filter(const ConvGeometry& g, const Conv2dOperands<float>& o, int64_t block,
                          float* filter) {
    const int64_t channels = channels_of(g, block), width = round_up(channels, Lanes);
    const float* const w =
        o.second + block * kBlock * g.w_group + g.h.tap_first * g.w_h + g.w.tap_first * g.w_w;
    const int64_t tap_h = g.h.tap_step * g.w_h, tap_w = g.w.tap_step * g.w_w;
    if (width > channels) fill_zero(filter, g.taps() * width);
    if (tap_w == 1 && tap_h == g.w.taps) {
      transpose_block<Lanes>(w, g.w_group, filter, width, channels, g.taps());
    } else {
      for (int64_t tap = 0; tap < g.taps(); ++tap) {
        const float* const from = w + tap / g.w.taps * tap_h + tap % g.w.taps * tap_w;
        for (int64_t c = 0; c < channels; ++c) filter[tap * width + c] = from[c * g.w_group];
      }
    }
    filter[g.taps() * kBlock] = !all_finite<Lanes>(filter, g.taps() * width);
  }

  // The channels of a task, and its rows of outputs in the grid of its gather.
  struct Block {
    int64_t image, c0, channels, i0, rows;
  };

  // A task of the first of joined gathers and of those after it; `packed` are their filters.
  static void run_task(const Conv2dShape& s, int64_t first, int64_t rows_per_task,
                       const Conv2dOperands<float>& o, const float* packed, int64_t task,
                       float* scratch) {
    const int64_t joined = joined_gathers(s);
    for (int64_t i = first; i < first + joined; ++i) {
      const ConvGeometry g = make_geometry(s, kPass, o, i);
      const int64_t row_blocks = ceil_div(g.h.grid, rows_per_task), block = task % blocks(g);
      const int64_t i0 = task / blocks(g) % row_blocks * rows_per_task;
      const Block b{task / blocks(g) / row_blocks, block * kBlock, channels_of(g, block), i0,
                    min(rows_per_task, g.h.grid - i0)};
      float* const buffer = scratch;
      float* const own_filter = buffer + buffer_pixels(g, rows_per_task) * kBlock;
      const float* filter = own_filter;
      if (packed == nullptr) {
        pack_filter(g, o, block, own_filter);
      } else {
        filter = packed + block * filter_floats(g);
        packed += blocks(g) * filter_floats(g);
      }
      sum_rows(g, o, b, rows_per_task, filter, own_filter + filter_floats(g), buffer);
      if (i + 1 == first + joined && is_joined(g)) spread_rows(g, o, b, buffer);
    }
  }

  // One gather's sums of a block: where they belong, or if it is joined to others, in the buffer.
  static void sum_rows(const ConvGeometry& g, const Conv2dOperands<float>& o, const Block& b,
                       int64_t rows_per_task, const float* filter, float* packed_rows,
                       float* buffer) {
    const int64_t width = round_up(b.channels, Lanes);
    Window window{};
    window.filter = filter;
    window.width = width;
    const float* const x = o.first + b.image * g.in_image();
    // Rows that hold whole vectors of channels need not be copied.
    const bool in_place = g.in_layout == Layout::channels_last && !o.prologue.exists() &&
                          (kMasksPartial<Lanes> || b.channels == width);
    if (in_place) {
      const int64_t row = g.w.in_size * g.in_pixel;
      window.x =
          x + (b.i0 * g.h.in_step + g.h.offset_first) * row + g.w.offset_first * g.in_pixel + b.c0;
      window.row = g.h.in_step * row;
      window.tap_row = g.h.offset_step * row;
      window.pixel = g.in_pixel;
      window.first = -g.w.offset_first;
      window.last = g.w.in_size - g.w.offset_first;
    } else if (g.taps() > 0) {
      // The pixels of the packed rows are whole vectors of channels.
      const int64_t tap_rows = g.tap_rows(rows_per_task);
      if (width > b.channels) fill_zero(packed_rows, g.packed_rows_floats(rows_per_task) * width);
      pack_rows<Lanes>(g, x, b.i0, b.rows, tap_rows, b.c0, b.channels, width, packed_rows,
                       o.prologue.at(b.image, b.c0));
      window.x = packed_rows;
      window.row = g.h.in_step * g.packed_w() * width;
      window.tap_row = tap_rows * g.packed_w() * width;
      window.pixel = width;
      window.last = g.packed_w();
    }

    const bool at_border = g.meets_border() && filter[g.taps() * kBlock] != 0;
    const TileEpilogue of_pixels = epilogue_of_pixels(o.epilogue, g.groups);
    for (int64_t i = b.i0; i < b.i0 + b.rows; ++i, window.x += window.row) {
      window.taps = g.h.taps_inside_of(i);
      if (g.layout == Layout::channels_last) {
        const int64_t pixel =
            (b.image * g.h.out_size + out_row(g, i)) * g.w.out_size + g.w.out_first;
        row(g, at_border, b.channels, window, of_pixels.at(pixel, b.c0),
            o.result + pixel * g.out_pixel + b.c0, g.w.out_step * g.out_pixel);
      } else {
        const int64_t pixel = is_joined(g) ? (i - b.i0) * g.w.out_size + g.w.out_first : 0;
        row(g, at_border, b.channels, window, of_pixels.at(0, b.c0).bias_alone(),
            buffer + pixel * width, g.w.out_step * width);
        if (!is_joined(g)) spread_row(g, o, b, i, buffer);
      }
    }
  }

  static int64_t out_row(const ConvGeometry& g, int64_t i) {
    return g.h.out_first + i * g.h.out_step;
  }

  // Brings rows of pixels to the planes of their channels.
  static void spread_rows(const ConvGeometry& g, const Conv2dOperands<float>& o, const Block& b,
                          const float* buffer) {
    const int64_t row = g.w.out_size * round_up(b.channels, Lanes);
    for (int64_t i = 0; i < b.rows; ++i) spread_row(g, o, b, b.i0 + i, buffer + i * row);
  }

  static void spread_row(const ConvGeometry& g, const Conv2dOperands<float>& o, const Block& b,
                         int64_t i, const float* pixels) {
    const int64_t plane = g.h.out_size * g.w.out_size;
    const int64_t at = b.image * g.out_image() + b.c0 * plane + out_row(g, i) * g.w.out_size;
    transpose_block<Lanes>(pixels, round_up(b.channels, Lanes), o.result + at, plane, g.w.out_size,
                           b.channels);
    finish_rows<Lanes>(o.result + at, plane, b.channels, g.w.out_size,
                       epilogue_of_planes(o.epilogue, plane).without_bias().at_offset(at));
  }

  // What a row of outputs reads, of x or of the packed rows, and the filter.
  struct Window {
    const float* x;  // of the first output and tap
    const float* filter;
    int64_t width;  // channels of the filter
    int64_t row, tap_row,
        pixel;            // of x: from output to output, from tap to tap, from pixel to pixel
    int64_t first, last;  // the pixels that there are, counted from x
    TapRange taps;        // the filter rows that meet the image
  };

  // One row of outputs, whose pixels are `y_pixel` apart; `at_border` is whether zeros of the
  // border must not meet the filter.
  static void row(const ConvGeometry& g, bool at_border, int64_t channels, const Window& window,
                  const TileEpilogue& epilogue, float* y, int64_t y_pixel) {
    if (at_border) {
      for (int64_t j = 0; j < g.w.grid; ++j) {
        Window here = window;
        here.x += j * g.w.in_step * window.pixel;
        sum_pixel<kVectors>(g, g.w.taps_inside_of(j), channels, here, epilogue.at(j, 0),
                            y + j * y_pixel);
      }
      return;
    }
    const bool three_taps = g.w.taps == 3 && g.w.offset_step == 1;
    const auto sum = three_taps && g.w.in_step == 1   ? sum_vectors<1>
                     : three_taps && g.w.in_step == 2 ? sum_vectors<2>
                                                      : sum_vectors<0>;
    for (int64_t c = 0; c < channels; c += Lanes) {
      sum(g, window, c, min(Lanes, channels - c), epilogue.at(0, c), y + c, y_pixel);
    }
  }

  // All channels of a pixel, of each filter row only the taps given.
  template <int Vectors>
  static void sum_pixel(const ConvGeometry& g, const TapRange& taps, int64_t channels,
                        const Window& window, const TileEpilogue& epilogue, float* y) {
    if constexpr (Vectors > 1) {
      if (channels <= (Vectors - 1) * Lanes) {
        return sum_pixel<Vectors - 1>(g, taps, channels, window, epilogue, y);
      }
    }
    constexpr int kLast = (Vectors - 1) * Lanes;
    f32<Lanes> acc[1][Vectors] = {};
    for (int64_t r = window.taps.first; r < window.taps.last; ++r) {
      for (int64_t t = taps.first; t < taps.last; ++t) {
        const float* const x = window.x + r * window.tap_row + t * g.w.offset_step * window.pixel;
        const float* const filter = window.filter + (r * g.w.taps + t) * window.width;
        CNNEXT_UNROLL(16)
        for (int v = 0; v < Vectors - 1; ++v) {
          acc[0][v] += load<Lanes>(x + v * Lanes) * load<Lanes>(filter + v * Lanes);
        }
        acc[0][Vectors - 1] +=
            load_last<Lanes>(x + kLast, channels - kLast) * load<Lanes>(filter + kLast);
      }
    }
    if (!epilogue.is_empty()) finish<Lanes>(acc, epilogue, channels);
    CNNEXT_UNROLL(16)
    for (int v = 0; v < Vectors - 1; ++v) store<Lanes>(y + v * Lanes, acc[0][v]);
    store_partial<Lanes>(y + kLast, acc[0][Vectors - 1], channels - kLast);
  }

  // A vector of channels from c on, or a part of one, of all pixels. Where filter rows have three
  // taps side by side, and Step pixels lie between windows, each x is loaded once for all taps of a
  // row that meet it. Step 0 is any other shape.
  template <int Step>
  static void sum_vectors(const ConvGeometry& g, const Window& window, int64_t c, int64_t lanes,
                          TileEpilogue epilogue, float* y, int64_t y_pixel) {
    const int64_t span = (g.w.taps - 1) * g.w.offset_step + 1;
    for (int64_t j = 0, count; j < g.w.grid; j += count) {
      count = even_share(g.w.grid - j, kPixels);
      const int64_t first = j * g.w.in_step;  // pixel of x
      const bool inside =
          window.first <= first && first + (count - 1) * g.w.in_step + span <= window.last;
      const Run run{window.x + first * window.pixel + c, window.filter + c, window.first - first,
                    window.last - first};
      (inside ? sum_run<kPixels, Step, true>
              : sum_run<kPixels, Step, false>)(count, g, window, run, epilogue, y, y_pixel, lanes);
      y += count * y_pixel;
      if (epilogue.residual != nullptr) epilogue.residual += count * epilogue.residual_row;
    }
  }

  struct Run {
    const float *x, *filter;
    int64_t first, last;  // the pixels that there are, counted from x
  };

  template <int Pixels, int Step, bool kInside>
  static void sum_run(int64_t count, const ConvGeometry& g, const Window& window, const Run& run,
                      const TileEpilogue& epilogue, float* y, int64_t y_pixel, int64_t lanes) {
    if constexpr (Pixels > 1) {
      if (count < Pixels) {
        return sum_run<Pixels - 1, Step, kInside>(count, g, window, run, epilogue, y, y_pixel,
                                                  lanes);
      }
    }
    const auto read = [&](const float* row, int64_t pixel) {
      if (!kInside && (pixel < run.first || pixel >= run.last)) return f32<Lanes>{};
      return load_last<Lanes>(row + pixel * window.pixel, lanes);
    };
    f32<Lanes> acc[Pixels][1] = {};
    for (int64_t r = window.taps.first; r < window.taps.last; ++r) {
      const float* const x = run.x + r * window.tap_row;
      const float* const filter = run.filter + r * g.w.taps * window.width;
      if constexpr (Step > 0) {
        constexpr int kTaps = 3, kColumns = (Pixels - 1) * Step + kTaps;
        f32<Lanes> taps[kTaps];
        for (int t = 0; t < kTaps; ++t) taps[t] = load<Lanes>(filter + t * window.width);
        CNNEXT_UNROLL(16)
        for (int column = 0; column < kColumns; ++column) {
          const f32<Lanes> in = read(x, column);
          CNNEXT_UNROLL(16)
          for (int t = 0; t < kTaps; ++t) {
            const int p = (column - t) / Step;
            if (column >= t && (column - t) % Step == 0 && p < Pixels) acc[p][0] += in * taps[t];
          }
        }
      } else {
        for (int64_t t = 0; t < g.w.taps; ++t) {
          const f32<Lanes> tap = load<Lanes>(filter + t * window.width);
          CNNEXT_UNROLL(16)
          for (int p = 0; p < Pixels; ++p) {
            acc[p][0] += read(x, t * g.w.offset_step + p * g.w.in_step) * tap;
          }
        }
      }
    }
    if (!epilogue.is_empty()) finish<Lanes>(acc, epilogue, lanes);
    CNNEXT_UNROLL(16)
    for (int p = 0; p < Pixels; ++p) store_partial<Lanes>(y + p * y_pixel, acc[p][0], lanes);
  }
};

template <int Lanes>
struct DepthwiseBackwardWeight {
  static Plan plan(const Conv2dShape& s, int threads) {
    const ConvGeometry g = make_geometry(s, Pass::forward, {}, 0);
    Plan plan;
    if (is_in_place(g)) {
      plan.n_phases = 2;
      plan.tasks[0] = min(threads, g.images * g.h.grid);
      plan.tasks[1] = ceil_div(g.groups, Lanes);
      plan.shared_bytes = 4 * plan.tasks[0] * sums_floats(g);
    } else {
      const int64_t rows = rows_at_once(g);
      plan.tasks[0] = ceil_div(g.groups, Lanes);
      plan.chunk_bytes = 4 * Lanes * (g.taps() + g.packed_rows_floats(rows) + rows * g.w.grid);
    }
    return plan;
  }

  static void run(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    const ConvGeometry g = make_geometry(s, Pass::forward, o, 0);
    float* const shared = reinterpret_cast<float*>(slice.shared);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (!is_in_place(g)) {
        run_task(g, o, task * Lanes, reinterpret_cast<float*>(slice.chunk));
      } else if (slice.phase == 0) {
        const int64_t rows = g.images * g.h.grid, tasks = plan.tasks[0];
        sum_rows(g, o, rows * task / tasks, rows * (task + 1) / tasks,
                 shared + task * sums_floats(g));
      } else {
        const int64_t c0 = task * Lanes;
        float* const sums = shared + c0 * g.taps();
        for (int64_t other = 1; other < plan.tasks[0]; ++other) {
          for (int64_t tap = 0; tap < g.taps(); ++tap) {
            float* const to = sums + tap * Lanes;
            store<Lanes>(to, load<Lanes>(to) + load<Lanes>(to + other * sums_floats(g)));
          }
        }
        store_sums(g, o, c0, min(Lanes, g.groups - c0), sums);
      }
    }
  }

 private:
  // Where pixels are whole vectors of channels, or parts can be loaded, nothing is copied.
  static bool is_in_place(const ConvGeometry& g) {
    return g.layout == Layout::channels_last && (kMasksPartial<Lanes> || g.groups % Lanes == 0);
  }

  // The sums of a task in place are [vector of channels][tap][lane].
  static int64_t sums_floats(const ConvGeometry& g) { return round_up(g.groups, Lanes) * g.taps(); }

  static int64_t rows_at_once(const ConvGeometry& g) {
    return g.rows_within(l2_floats(1) / Lanes);  // beside the rows of dy
  }

  // Sums over rows of outputs, counted over all images.
  static void sum_rows(const ConvGeometry& g, const Conv2dOperands<float>& o, int64_t first,
                       int64_t last, float* sums) {
    fill_zero(sums, sums_floats(g));
    const int64_t row = g.w.in_size * g.in_pixel;
    for (int64_t each = first; each < last; ++each) {
      const int64_t image = each / g.h.grid, i = each % g.h.grid;
      const float* const x = o.second + image * g.in_image() + g.w.offset_first * g.in_pixel;
      const float* const dy = o.first + image * g.out_image() + i * g.w.out_size * g.out_pixel;
      const TapRange taps = g.h.taps_inside_of(i);
      for (int64_t c = 0; c < g.groups; c += Lanes) {
        for (int64_t r = taps.first; r < taps.last; ++r) {
          const int64_t at = g.h.offset_first + i * g.h.in_step + r * g.h.offset_step;
          add_row_in_place(g, x + at * row + c, dy + c, min(Lanes, g.groups - c),
                           sums + c * g.taps() + r * g.w.taps * Lanes);
        }
      }
    }
  }

  // Sums a filter row: pixels that all of some taps meet together, those that not all do apart.
  static void add_row_in_place(const ConvGeometry& g, const float* x, const float* dy,
                               int64_t lanes, float* sum) {
    const Strides strides{g.out_pixel, g.w.in_step * g.in_pixel, g.w.offset_step * g.in_pixel};
    for (int64_t t = 0; t < g.w.taps; t += kTaps) {
      const int64_t last = min(t + kTaps, g.w.taps);
      TapRange shared{0, g.w.grid};
      for (int64_t i = t; i < last; ++i) {
        const TapRange own = g.w.outputs_inside_of(i);
        shared = {max(shared.first, own.first), min(shared.last, own.last)};
      }
      if (last - t < kTaps || shared.first >= shared.last) shared = {0, 0};
      add_taps<kTaps, false>(x, dy, strides, shared, t, lanes, sum);
      for (int64_t i = t; i < last; ++i) {
        const TapRange own = g.w.outputs_inside_of(i);
        if (shared.first == shared.last) {
          add_taps<1, false>(x, dy, strides, own, i, lanes, sum);
        } else {
          add_taps<1, false>(x, dy, strides, {own.first, shared.first}, i, lanes, sum);
          add_taps<1, false>(x, dy, strides, {shared.last, own.last}, i, lanes, sum);
        }
      }
    }
  }

  static void run_task(const ConvGeometry& g, const Conv2dOperands<float>& o, int64_t c0,
                       float* scratch) {
    const int64_t channels = min(Lanes, g.groups - c0), block = rows_at_once(g);
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
    store_sums(g, o, c0, channels, sums);
  }

  static void store_sums(const ConvGeometry& g, const Conv2dOperands<float>& o, int64_t c0,
                         int64_t channels, const float* sums) {
    for (int64_t tap = 0; tap < g.taps(); ++tap) {
      float* const dw = o.result + c0 * g.w_group + tap / g.w.taps * g.w_h + tap % g.w.taps * g.w_w;
      for (int64_t c = 0; c < channels; ++c) dw[c * g.w_group] = sums[tap * Lanes + c];
    }
  }

  static constexpr int kTaps = 3;  // that share the loads of dy, most often a row of the filter

  static void add_row(const ConvGeometry& g, TapRange taps, const float* x, int64_t tap_row,
                      const float* dy, float* sums) {
    const bool finite = !g.meets_border() || all_finite<Lanes>(dy, g.w.grid * Lanes);
    const Strides strides{Lanes, g.w.in_step * Lanes, g.w.offset_step * Lanes};
    for (int64_t r = taps.first; r < taps.last; ++r) {
      const float* const x_row = x + r * tap_row;
      float* const sum = sums + r * g.w.taps * Lanes;
      const TapRange all{0, g.w.grid};
      int64_t t = 0;
      for (; t + kTaps <= g.w.taps && finite; t += kTaps) {
        add_taps<kTaps, true>(x_row, dy, strides, all, t, Lanes, sum);
      }
      for (; t < g.w.taps; ++t) {
        const TapRange pixels = finite ? all : g.w.outputs_inside_of(t);
        add_taps<1, true>(x_row, dy, strides, pixels, t, Lanes, sum);
      }
    }
  }

  // From pixel to pixel of dy, from window to window of x, and from tap to tap.
  struct Strides {
    int64_t dy, x, tap;
  };

  // Copied rows are whole vectors, side by side.
  template <int Taps, bool kCopied>
  static void add_taps(const float* x, const float* dy, const Strides& strides,
                       const TapRange& pixels, int64_t t, int64_t lanes, float* sum) {
    if (pixels.first >= pixels.last) return;
    constexpr int kWays = 3;  // sums of a tap, as one addition would wait for the one before
    f32<Lanes> acc[kWays][Taps] = {};
    const int64_t dy_step = kCopied ? Lanes : strides.dy;
    const auto add = [&](int64_t j, f32<Lanes>(&to)[Taps]) {
      const auto read = [&](const float* p) {
        return kCopied ? load<Lanes>(p) : load_last<Lanes>(p, lanes);
      };
      const f32<Lanes> dy_vec = read(dy + j * dy_step);
      const float* const from = x + j * strides.x + t * strides.tap;
      CNNEXT_UNROLL(16)
      for (int i = 0; i < Taps; ++i) to[i] += dy_vec * read(from + i * strides.tap);
    };
    int64_t j = pixels.first;
    for (; j + kWays <= pixels.last; j += kWays) {
      CNNEXT_UNROLL(16)
      for (int way = 0; way < kWays; ++way) add(j + way, acc[way]);
    }
    for (; j < pixels.last; ++j) add(j, acc[0]);
    for (int i = 0; i < Taps; ++i) {
      float* const total = sum + (t + i) * Lanes;
      store<Lanes>(total, load<Lanes>(total) + (acc[0][i] + acc[1][i] + acc[2][i]));
    }
  }
};

}  // namespace
}  // namespace cnnext
