// SPDX-License-Identifier: BSD-3-Clause
// Direct convolution, weight gradient:
//
//   dw[k, (r,s,c)] = sum over images and pixels of dy[pixel, k] * x[pixel moved by tap (r,s), c]
//
// a matrix product whose reduction runs over pixels. With x in packed rows and dy packed to panels
// of output channels, one step of the micro-kernel is one pixel: its rows are (tap, channel), which
// lie side by side in the packed rows, its columns output channels.
//
//   phase 0, one task per (split, group, block of panels, block of filter rows):
//     for each block of output rows of the split's share of all images:
//       copy the rows of x and the panels of dy
//       for each panel, for each filter row of the block: partial[split][panel][(r,s,c)][column] +=
//       ...
//         over the rows of which it meets the image
//   phase 1, one task per (group, panel, part of c): add up the splits in order, write dw
//
// The zero border to the left and right takes part in the sums, which is wrong only for Inf and NaN
// in dy. A block of rows that holds one goes tap by tap, over the pixels where the tap is inside.
//
// Splits, and blocks of filter rows, exist only where the blocks of panels do not keep all threads
// busy. Their number and the order of additions depend on nothing but shape and thread count, so
// equal calls give equal bits.
#pragma once

#include <limits>

#include "conv2d/packed_rows.h"
#include "gemm/tile.h"

namespace cnnext {
namespace {

template <class Tile>
struct DirectBackwardWeight {
  static constexpr int64_t kPanelsPerTask = 4;  // shares the copy of x among 128 channels

  static constexpr int64_t kEvenSplits = 4;  // beyond, adding them up costs more than waiting

  struct Blocking {
    int64_t rows, row_blocks, all_panels, panels, panel_blocks, splits, tap_blocks;

    int64_t tasks(const ConvGeometry& g) const {
      return splits * g.groups * panel_blocks * tap_blocks;
    }
  };

  static Plan plan(const Conv2dShape& s, int threads) {
    const ConvGeometry g = make_geometry(s, Pass::forward, {}, 0);
    const Blocking b = blocking(g, threads);
    Plan plan;
    plan.n_phases = 2;
    plan.block[0] = b.rows;
    plan.block[1] = b.panels;
    plan.block[2] = b.splits;
    plan.block[3] = b.tap_blocks;
    plan.tasks[0] = b.tasks(g);
    plan.tasks[1] = g.groups * b.all_panels * reducing_parts(g, b, threads);
    plan.shared_bytes = b.splits * g.groups * b.all_panels * panel_floats(g) * 4;
    const int64_t sums = round_up(8 * b.rows, 64) +
                         4 * (g.packed_rows_floats(b.rows) + b.panels * dy_panel_floats(g, b));
    plan.chunk_bytes = max(sums, 4 * FilterPanel<Tile>::scratch_floats(g.filter_taps));
    return plan;
  }

  static void run(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    const ConvGeometry g = make_geometry(s, Pass::forward, o, 0);
    const Blocking b =
        complete(g, {plan.block[0], 0, 0, plan.block[1], 0, plan.block[2], plan.block[3]});
    const int64_t parts = plan.tasks[1] / (g.groups * b.all_panels);
    float* const partial = reinterpret_cast<float*>(slice.shared);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (slice.phase == 0) {
        accumulate(g, b, o, task, partial, slice.chunk);
      } else {
        const int64_t first = g.c * (task % parts) / parts, last = g.c * (task % parts + 1) / parts;
        reduce(g, b, o, task / parts, first, last, partial, reinterpret_cast<float*>(slice.chunk));
      }
    }
  }

 private:
  static int64_t panel_floats(const ConvGeometry& g) { return g.taps() * g.c * Tile::kColumns; }

  static int64_t dy_panel_floats(const ConvGeometry& g, const Blocking& b) {
    return b.rows * g.w.grid * Tile::kColumns;
  }

  static int64_t reducing_parts(const ConvGeometry& g, const Blocking& b, int threads) {
    return even_parts(g.groups * b.all_panels, g.c, threads);
  }

  // With the numbers of blocks that follow from their sizes.
  static Blocking complete(const ConvGeometry& g, Blocking b) {
    b.row_blocks = ceil_div(g.h.grid, b.rows);
    b.all_panels = ceil_div(g.k, Tile::kColumns);
    b.panel_blocks = ceil_div(b.all_panels, b.panels);
    return b;
  }

  static Blocking blocking(const ConvGeometry& g, int threads) {
    const Blocking b = blocking_by_panels(g, threads);
    return are_uneven(b.tasks(g), threads) ? even_blocking(g, threads) : b;
  }

  // What the busiest thread does and its part of the sums of all splits, in multiply-adds.
  static double work(const ConvGeometry& g, const Blocking& b, int threads) {
    constexpr double kCopiedFloat = 8;
    const double pixels = static_cast<double>(b.rows * g.w.grid);
    const double rows_of_x = static_cast<double>(g.packed_rows_floats(b.rows));
    const double panels = static_cast<double>(b.panels * Tile::kColumns);
    const double products = static_cast<double>(ceil_div(g.h.taps, b.tap_blocks) * g.w.taps * g.c);
    const double item = pixels * panels * products + kCopiedFloat * (rows_of_x + panels * pixels);
    const double items = static_cast<double>(ceil_div(g.images * b.row_blocks, b.splits) *
                                             ceil_div(b.tasks(g), threads));
    const double sums = static_cast<double>(b.splits * g.groups * b.all_panels * panel_floats(g));
    return items * item + kCopiedFloat * sums / threads;
  }

  static Blocking even_blocking(const ConvGeometry& g, int threads) {
    constexpr int64_t kMaxRounds = 4;  // of tasks
    Blocking best{};
    double min_work = std::numeric_limits<double>::infinity();
    for (int64_t rows = g.rows_within(l2_floats(4));; rows = ceil_div(rows, 2)) {
      for (int64_t panels = 1; panels <= min(kPanelsPerTask, ceil_div(g.k, Tile::kColumns));
           ++panels) {
        for (int64_t tap_blocks = 1; tap_blocks <= g.h.taps; ++tap_blocks) {
          Blocking b = complete(g, {rows, 0, 0, panels, 0, 1, tap_blocks});
          const int64_t tasks = b.tasks(g), items = g.images * b.row_blocks;
          for (int64_t rounds = 1; rounds <= kMaxRounds; ++rounds) {
            b.splits = max(1, min(items, rounds * threads / tasks));
            const double found = work(g, b, threads);
            if (found < min_work) {
              min_work = found;
              best = b;
            }
          }
        }
      }
      if (rows == 1) return best;
    }
  }

  static Blocking blocking_by_panels(const ConvGeometry& g, int threads) {
    Blocking b;
    b.tap_blocks = 1;
    b.rows = g.rows_within(l2_floats(4));  // of x, beside the panels of dy
    b.row_blocks = ceil_div(g.h.grid, b.rows);
    b.all_panels = ceil_div(g.k, Tile::kColumns);
    const int64_t enough = ceil_div(threads, g.groups);
    b.panels = min(kPanelsPerTask, max(1, b.all_panels / enough));
    b.panel_blocks = ceil_div(b.all_panels, b.panels);
    // Enough for all threads, and evenly: 3 blocks on 2 threads are split in two.
    const int64_t blocks = g.groups * b.panel_blocks;
    b.splits = ceil_div(threads, blocks);
    const int64_t max_splits = blocks < threads ? threads : kEvenSplits;
    while (b.splits < max_splits && b.splits * blocks % threads != 0) ++b.splits;
    b.splits = min(g.images * b.row_blocks, b.splits);
    return b;
  }

  static void accumulate(const ConvGeometry& g, const Blocking& b, const Conv2dOperands<float>& o,
                         int64_t task, float* partial, unsigned char* scratch) {
    const int64_t tap_block = task % b.tap_blocks, block = task / b.tap_blocks;
    const int64_t tap0 = g.h.taps * tap_block / b.tap_blocks;
    const int64_t tap1 = g.h.taps * (tap_block + 1) / b.tap_blocks;
    const int64_t panel0 = block % b.panel_blocks * b.panels;
    const int64_t panels = min(b.panels, b.all_panels - panel0);
    const int64_t group = block / b.panel_blocks % g.groups;
    const int64_t split = block / b.panel_blocks / g.groups;
    const int64_t items = g.images * b.row_blocks;

    int64_t* const segments = reinterpret_cast<int64_t*>(scratch);
    float* const packed_rows = reinterpret_cast<float*>(scratch + round_up(8 * b.rows, 64));
    float* const dy_panels = packed_rows + g.packed_rows_floats(b.rows);
    const int64_t packed_w = g.packed_w(), tap_rows = g.tap_rows(b.rows);
    for (int64_t i = 0; i < b.rows; ++i) segments[i] = i * g.h.in_step * packed_w * g.c;

    const bool merge_taps = g.w.offset_step == 1;
    const int64_t runs = merge_taps ? 1 : g.w.taps;
    const int64_t run_rows = g.w.taps / runs * g.c, run_floats = run_rows * Tile::kColumns;

    TileOperands t;
    t.length = g.w.grid;
    t.a_row = 1;
    t.a_k = g.w.in_step * g.c;
    t.b_k = Tile::kColumns;
    t.c_row = t.init_row = Tile::kColumns;

    const int64_t first = items * split / b.splits, last = items * (split + 1) / b.splits;
    for (int64_t item = first; item < last; ++item) {
      const int64_t image = item / b.row_blocks;
      const int64_t i0 = item % b.row_blocks * b.rows;
      const int64_t rows = min(b.rows, g.h.grid - i0);
      pack_rows<Tile::kLanes>(g, o.second + image * g.in_image(), i0, rows, tap_rows, group * g.c,
                              g.c, g.c, packed_rows);
      for (int64_t p = 0; p < panels; ++p) {
        const int64_t k0 = (panel0 + p) * Tile::kColumns;
        t.columns = min(Tile::kColumns, g.k - k0);
        float* const dy_panel = dy_panels + p * dy_panel_floats(g, b);
        // Stale scratch in unused lanes could hold denormals, which multiply slowly.
        if (t.columns < Tile::kColumns) fill_zero(dy_panel, dy_panel_floats(g, b));
        for (int64_t i = 0; i < rows; ++i) {
          pack_pixels<Tile::kLanes>(o.first + image * g.out_image(), g.layout, g.out_pixel,
                                    g.h.out_size, g.w.out_size, i0 + i, 0, g.w.grid,
                                    group * g.k + k0, t.columns,
                                    dy_panel + i * g.w.grid * Tile::kColumns, Tile::kColumns);
        }
        const bool finite = !g.meets_border() ||
                            all_finite<Tile::kLanes>(dy_panel, rows * g.w.grid * Tile::kColumns);
        float* out = partial +
                     ((split * g.groups + group) * b.all_panels + panel0 + p) * panel_floats(g) +
                     tap0 * runs * run_floats;
        for (int64_t r = tap0; r < tap1; ++r) {
          const int64_t start = i0 * g.h.in_step + g.h.offset_first + r * g.h.offset_step;
          const TapRange inside = taps_inside(start, rows, g.h.in_step, g.h.in_size);
          t.segments = segments + inside.first;
          t.n_segments = inside.last - inside.first;
          t.b = dy_panel + inside.first * g.w.grid * Tile::kColumns;
          t.init = item == first ? nullptr : out;
          for (int64_t run = 0; run < runs && finite; ++run) {
            t.a = packed_rows + (r * tap_rows * packed_w + run * g.w.offset_step) * g.c;
            t.c = out + run * run_floats;
            if (t.init != nullptr) t.init = t.c;
            multiply_panel<Tile>(run_rows, t);
          }
          if (!finite) multiply_taps(g, packed_rows + r * tap_rows * packed_w * g.c, out, t);
          out += runs * run_floats;
        }
      }
    }
  }

  // The taps of a filter row one by one, each over the pixels where it is inside the image; `x` is
  // where the first tap begins in the packed rows, and the segments of t are rows of outputs.
  static void multiply_taps(const ConvGeometry& g, const float* x, float* out,
                            const TileOperands& t) {
    for (int64_t tap = 0; tap < g.w.taps; ++tap) {
      const TapRange pixels = g.w.outputs_inside_of(tap);
      TileOperands row = t;
      row.a = x + (pixels.first * g.w.in_step + tap * g.w.offset_step) * g.c;
      row.c = out + tap * g.c * Tile::kColumns;
      if (row.init != nullptr) row.init = row.c;
      row.n_segments = 0;
      multiply_panel<Tile>(g.c, row);  // what is there already, or zero
      row.init = row.c;
      row.n_segments = 1;
      row.length = pixels.last - pixels.first;
      for (int64_t i = 0; i < t.n_segments && row.length > 0; ++i) {
        row.segments = t.segments + i;
        row.b = t.b + (i * g.w.grid + pixels.first) * Tile::kColumns;
        multiply_panel<Tile>(g.c, row);
      }
    }
  }

  static void reduce(const ConvGeometry& g, const Blocking& b, const Conv2dOperands<float>& o,
                     int64_t panel, int64_t first, int64_t last, float* partial, float* scratch) {
    const int64_t k0 = panel % b.all_panels * Tile::kColumns;
    const int64_t group = panel / b.all_panels;
    const int64_t split_floats = g.groups * b.all_panels * panel_floats(g);
    float* const sums = partial + panel * panel_floats(g);
    const FilterPanel<Tile> filter = filter_panel<Tile>(g, k0);
    for (int64_t tap = 0; tap < g.taps(); ++tap) {
      float* const sum = filter.row(sums, tap, first);
      for (int64_t split = 1; split < b.splits; ++split) {
        const float* const other = sum + split * split_floats;
        for (int64_t i = 0; i < (last - first) * Tile::kColumns; i += Tile::kLanes) {
          store<Tile::kLanes>(sum + i, load<Tile::kLanes>(sum + i) + load<Tile::kLanes>(other + i));
        }
      }
    }
    filter.unpack(sums, o.result + group * g.w_group + k0 * g.w_k, first, last, scratch);
  }
};

}  // namespace
}  // namespace cnnext
