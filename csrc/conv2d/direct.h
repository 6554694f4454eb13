// SPDX-License-Identifier: BSD-3-Clause
// Direct convolution, forward and input gradient, for any shape: blocked over rows and channels.
//
//   packing, one task per (gather, group, panel of Tile::kColumns output channels, part of c):
//     the filter to [panel][tap][c][column]
//   then one task per (gather, image, group, block of rows, block of panels or vector of one):
//     copy the rows of input that the rows need (packed_rows.h)             -- L2
//     for each panel, for each row: multiply_panel over the row's pixels -- registers
//       (without the filter rows that meet the border above or below the image)
//       if pooled into scratch, and of two rows the maxima to the result
//
// A pixel is a row of the micro-kernel's tile and the output channels are its columns; the whole
// sum over (filter row, tap, channel) runs inside one call of it. Taps that are neighbours in the
// packed rows form one segment, which keeps the inner loop long when the image has few channels.
// The filter of a panel (taps * c * 128 B) streams from L2 at 9 B per cycle, half of what L2 gives;
// a row block reuses it as often as it has tiles, so L3 hardly matters. What limits the kernel is
// the multiply-add units, except where c_out is far from a multiple of the columns.
//
// The zero border to the left and right takes part in the sums, which is wrong only for Inf and NaN
// in the filter. A panel that holds one multiplies the pixels at the border tap by tap.
#pragma once

#include <limits>

#include "conv2d/packed_rows.h"
#include "conv2d/pooled_store.h"
#include "gemm/tile.h"

namespace cnnext {
namespace {

template <class Tile, Pass kPass>
struct DirectConv {
  static constexpr bool kPools = kPass == Pass::forward;

  struct Blocking {
    int64_t rows, row_blocks, columns, column_blocks, all_panels;
    int64_t packing_parts;  // of a panel
  };

  static Plan plan(const Conv2dShape& s, int threads) {
    Plan plan;
    plan.weights.order = kPass == Pass::forward ? "tap panels" : "tap panels of the gradient";
    plan.weights.columns = Tile::kColumns;
    plan.block[0] = threads;
    for (int64_t i = 0; i < geometry_count(s, kPass); ++i) {
      const ConvGeometry g = make_geometry(s, kPass, {}, i);
      const Blocking b = blocking(g, threads);
      plan.weights.tasks += packing_tasks(g, b);
      plan.weights.bytes += 4 * filter_floats(g, b);
      plan.weights.chunk_bytes =
          max(plan.weights.chunk_bytes, 4 * FilterPanel<Tile>::scratch_floats(g.filter_taps));
      plan.tasks[0] += tasks(g, b);
      const int64_t floats = g.packed_rows_floats(b.rows) + buffered_rows(g) * row_floats(g);
      plan.chunk_bytes = max(plan.chunk_bytes, 64 + 8 * g.taps() + 4 * floats);
    }
    return plan;
  }

  static void pack(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                   const Slice& slice) {
    for_each_gather(s, plan, o, slice,
                    [&](const ConvGeometry& g, const Blocking& b, int64_t before, float* filter) {
                      const int64_t end = min(slice.end - before, packing_tasks(g, b));
                      for (int64_t task = max(slice.begin - before, 0); task < end; ++task) {
                        pack_part(g, b, o, task, filter, reinterpret_cast<float*>(slice.chunk));
                      }
                    });
  }

  static void run(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    for_each_gather(s, plan, o, slice,
                    [&](const ConvGeometry& g, const Blocking& b, int64_t, const float* filter) {
                      const Share share = share_of(tasks(g, b), slice, plan.tasks[0]);
                      multiply(g, b, o, filter, share.begin, share.end, slice.chunk);
                    });
  }

 private:
  // Calls f(gather, its blocking, tasks of packing the gathers before it, its packed filter).
  template <class F>
  static void for_each_gather(const Conv2dShape& s, const Plan& plan,
                              const Conv2dOperands<float>& o, const Slice& slice, const F& f) {
    float* filter = reinterpret_cast<float*>(slice.packed);
    int64_t before = 0;
    for (int64_t i = 0; i < geometry_count(s, kPass); ++i) {
      const ConvGeometry g = make_geometry(s, kPass, o, i);
      const Blocking b = blocking(g, static_cast<int>(plan.block[0]));
      f(g, b, before, filter);
      before += packing_tasks(g, b);
      filter += filter_floats(g, b);
    }
  }

  // Some channels, of each of which a number behind the filter of a panel tells whether it must not
  // meet zeros of a border.
  static int64_t marks(const ConvGeometry& g) { return min(Tile::kColumns, g.c); }

  static int64_t packing_tasks(const ConvGeometry& g, const Blocking& b) {
    return g.groups * b.all_panels * b.packing_parts;
  }

  static void pack_part(const ConvGeometry& g, const Blocking& b, const Conv2dOperands<float>& o,
                        int64_t task, float* filter, float* scratch) {
    const int64_t part = task % b.packing_parts, index = task / b.packing_parts;
    const int64_t all_marks = marks(g), mark0 = all_marks * part / b.packing_parts;
    const int64_t mark1 = all_marks * (part + 1) / b.packing_parts;
    const int64_t first = g.c * mark0 / all_marks, last = g.c * mark1 / all_marks;
    const int64_t k0 = index % b.all_panels * Tile::kColumns;
    const float* const w = o.second + index / b.all_panels * g.w_group + k0 * g.w_k;
    float* const panel = filter + index * panel_floats(g);
    const FilterPanel<Tile> packed = filter_panel<Tile>(g, k0);
    packed.pack(w, panel, first, last, scratch);
    bool finite = true;
    for (int64_t tap = 0; tap < g.taps(); ++tap) {
      const float* const row = packed.row(panel, tap, first);
      finite = finite && all_finite<Tile::kLanes>(row, (last - first) * Tile::kColumns);
    }
    float* const finds = panel + g.taps() * g.c * Tile::kColumns;
    for (int64_t mark = mark0; mark < mark1; ++mark) finds[mark] = !finite;
  }

  // Whether a panel's filter must not meet zeros of a border.
  static bool is_infinite(const ConvGeometry& g, const float* panel) {
    const float* const finds = panel + g.taps() * g.c * Tile::kColumns;
    for (int64_t mark = 0; mark < marks(g); ++mark) {
      if (finds[mark] != 0) return true;
    }
    return false;
  }

  static int64_t panel_floats(const ConvGeometry& g) {
    return (g.taps() * g.c + 1) * Tile::kColumns;
  }

  static int64_t filter_floats(const ConvGeometry& g, const Blocking& b) {
    return g.groups * b.all_panels * panel_floats(g);
  }

  // Rows of outputs of a panel that pass through scratch.
  static int64_t buffered_rows(const ConvGeometry& g) { return g.pooled ? 2 : 1; }
  static int64_t row_floats(const ConvGeometry& g) { return g.w.grid * Tile::kColumns; }

  static int64_t tasks(const ConvGeometry& g, const Blocking& b) {
    return g.h.grid == 0 || g.w.grid == 0 ? 0
                                          : g.images * g.groups * b.row_blocks * b.column_blocks;
  }

  static int64_t max_packed_rows_floats() { return l2_floats(6); }  // half of L2 is the filter's

  static Blocking blocking(const ConvGeometry& g, int threads) {
    const int64_t planes = g.images * g.groups, all_panels = ceil_div(g.k, Tile::kColumns);
    const int64_t rows = g.rows_for_threads(max_packed_rows_floats(), planes, threads);
    const int64_t row_blocks = of_blocks(g, rows, Tile::kColumns).row_blocks;
    const int64_t panel_blocks =
        min(all_panels, ceil_div(4 * threads, max(1, planes * row_blocks)));
    Blocking b = of_blocks(g, rows, ceil_div(all_panels, panel_blocks) * Tile::kColumns);
    if (are_uneven(tasks(g, b), threads)) b = even_blocking(g, threads);
    b.packing_parts = even_parts(g.groups * all_panels, marks(g), threads);
    return b;
  }

  static Blocking of_blocks(const ConvGeometry& g, int64_t max_rows, int64_t columns) {
    const int64_t rows = g.pooled ? round_up(max_rows, 2) : max_rows;
    return {rows,
            ceil_div(g.h.grid, rows),
            columns,
            ceil_div(g.k, columns),
            ceil_div(g.k, Tile::kColumns),
            1};
  }

  // The blocks of which the busiest thread has least to do.
  static Blocking even_blocking(const ConvGeometry& g, int threads) {
    constexpr int64_t kMaxRounds = 4;   // of tasks
    constexpr double kCopiedFloat = 8;  // in multiply-adds
    const int64_t planes = g.images * g.groups;
    const int64_t max_rows = g.rows_within(max_packed_rows_floats());
    Blocking best{};
    double min_work = std::numeric_limits<double>::infinity();
    const auto consider = [&](const Blocking& b) {
      const double sums = static_cast<double>(b.rows * g.w.grid * g.taps() * g.c * b.columns);
      const double copied = static_cast<double>(g.packed_rows_floats(b.rows));
      const double work =
          static_cast<double>(ceil_div(tasks(g, b), threads)) * (sums + kCopiedFloat * copied);
      if (work >= min_work) return;
      min_work = work;
      best = b;
    };
    const int64_t vectors = ceil_div(g.k, Tile::kLanes);
    for (int64_t blocks = 1; blocks <= vectors; ++blocks) {
      int64_t columns = ceil_div(vectors, blocks) * Tile::kLanes;
      if (columns > Tile::kColumns) columns = round_up(columns, Tile::kColumns);
      for (int64_t rounds = 1; rounds <= kMaxRounds; ++rounds) {
        const int64_t wanted = rounds * threads / (planes * ceil_div(g.k, columns));
        const int64_t rows = ceil_div(g.h.grid, max(1, min(wanted, g.h.grid)));
        consider(of_blocks(g, min(rows, max_rows), columns));
      }
    }
    return best;
  }

  static bool merges_taps(const ConvGeometry& g) { return g.w.offset_step == 1; }
  static int64_t segments_per_row(const ConvGeometry& g) { return merges_taps(g) ? 1 : g.w.taps; }

  // What all tiles of a gather have in common; fills `segments`, of all filter rows.
  static TileOperands tile_operands(const ConvGeometry& g, int64_t tap_rows, int64_t* segments) {
    TileOperands t;
    t.length = merges_taps(g) ? g.w.taps * g.c : g.c;
    const int64_t per_row = segments_per_row(g);
    for (int64_t i = 0; i < g.h.taps * per_row; ++i) {
      segments[i] = (i / per_row * tap_rows * g.packed_w() + i % per_row * g.w.offset_step) * g.c;
    }
    t.a_row = g.w.in_step * g.c;
    t.a_k = 1;
    t.b_k = Tile::kColumns;
    t.init = nullptr;
    return t;
  }

  // A row of outputs; `at_border` is whether zeros of the border must not meet the filter.
  static void multiply_row(const ConvGeometry& g, const TapRange& tap_rows, bool at_border,
                           const TileOperands& t) {
    if (!at_border) return multiply_panel<Tile>(g.w.grid, t);
    for (int64_t j = 0, count; j < g.w.grid; j += count) {
      const TileEpilogue epilogue = t.epilogue->at(j, 0);
      TileOperands pixels = t;
      pixels.a += j * t.a_row;
      pixels.c += j * t.c_row;
      pixels.epilogue = &epilogue;
      for (count = 0; j + count < g.w.grid && g.w.all_taps_inside_of(j + count);) ++count;
      if (count > 0) {
        multiply_panel<Tile>(count, pixels);
      } else {
        count = 1;
        multiply_taps(g, tap_rows.last - tap_rows.first, g.w.taps_inside_of(j), pixels);
      }
    }
  }

  // One pixel, of each filter row only the taps given.
  static void multiply_taps(const ConvGeometry& g, int64_t tap_rows, const TapRange& taps,
                            const TileOperands& t) {
    TileOperands row = t;
    const int64_t count = taps.last - taps.first, per_row = segments_per_row(g);
    if (count <= 0 || tap_rows == 0) {
      row.n_segments = 0;
      return multiply_panel<Tile>(1, row);
    }
    for (int64_t r = 0; r < tap_rows; ++r) {
      row.init = r == 0 ? nullptr : t.c;
      row.epilogue = r == tap_rows - 1 ? t.epilogue : nullptr;
      row.segments = t.segments + r * per_row;
      row.b = t.b + (r * g.w.taps + taps.first) * g.c * Tile::kColumns;
      if (merges_taps(g)) {
        row.a = t.a + taps.first * g.c;
        row.n_segments = 1;
        row.length = count * g.c;
      } else {
        row.segments += taps.first;
        row.n_segments = count;
      }
      multiply_panel<Tile>(1, row);
    }
  }

  // Row `row` of the result, `columns` channels from k0, of two rows of outputs.
  static void store_pooled_row(const ConvGeometry& g, float* rows, int64_t columns, int64_t image,
                               int64_t row, int64_t k0, float* result) {
    constexpr int kLanes = Tile::kLanes;
    const int64_t width = g.w.grid / 2, plane = g.h.grid / 2 * width, channels = g.groups * g.k;
    const auto store_maxima = [&](int64_t count, float* to, int64_t to_pixel) {
      store_pooled<kLanes>(rows, row_floats(g), Tile::kColumns, 2, g.w.grid, count, to, 0,
                           to_pixel);
    };
    if (g.layout == Layout::channels_last) {
      return store_maxima(columns, result + (image * plane + row * width) * g.out_pixel + k0,
                          g.out_pixel);
    }
    store_maxima(round_up(columns, kLanes), rows, Tile::kColumns);
    transpose_block<kLanes>(rows, Tile::kColumns,
                            result + (image * channels + k0) * plane + row * width, plane, width,
                            columns);
  }

  static void multiply(const ConvGeometry& g, const Blocking& b, const Conv2dOperands<float>& o,
                       const float* filter, int64_t begin, int64_t end, unsigned char* scratch) {
    float* const packed_rows = reinterpret_cast<float*>(scratch + round_up(8 * g.taps(), 64));
    float* const row_buffer = packed_rows + g.packed_rows_floats(b.rows);
    const int64_t packed_w = g.packed_w(), tap_rows = g.tap_rows(b.rows);
    int64_t* const segments = reinterpret_cast<int64_t*>(scratch);
    TileOperands t = tile_operands(g, tap_rows, segments);
    const int64_t out_plane = g.h.out_size * g.w.out_size;
    const TileEpilogue of_pixels = epilogue_of_pixels(o.epilogue, g.groups * g.k);
    const bool nchw = g.layout == Layout::nchw;
    int64_t packed = -1;  // which block of rows the scratch holds
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block_index = task / b.column_blocks;
      const int64_t i0 = block_index % b.row_blocks * b.rows;
      const int64_t rows = min(b.rows, g.h.grid - i0);
      const int64_t group = block_index / b.row_blocks % g.groups;
      const int64_t image = block_index / b.row_blocks / g.groups;
      if (packed != block_index && g.taps() > 0) {
        pack_rows<Tile::kLanes>(g, o.first + image * g.in_image(), i0, rows, tap_rows, group * g.c,
                                g.c, g.c, packed_rows, o.prologue.at(image, group * g.c));
        packed = block_index;
      }
      const int64_t k_end = min(g.k, (task % b.column_blocks + 1) * b.columns);
      for (int64_t k = task % b.column_blocks * b.columns; k < k_end; k += t.columns) {
        const int64_t k0 = group * g.k + k;  // among all output channels
        const int64_t panel = k / Tile::kColumns, column = k % Tile::kColumns;
        t.columns = min(Tile::kColumns - column, k_end - k);
        const float* const panel_filter = filter + (group * b.all_panels + panel) * panel_floats(g);
        const bool at_border = g.meets_border() && is_infinite(g, panel_filter);
        for (int64_t i = 0; i < rows; ++i) {
          const int64_t out_row = g.h.out_first + (i0 + i) * g.h.out_step;
          const TapRange taps = g.h.taps_inside_of(i0 + i);
          t.segments = segments + taps.first * segments_per_row(g);
          t.n_segments = (taps.last - taps.first) * segments_per_row(g);
          t.a = packed_rows + i * g.h.in_step * packed_w * g.c;
          t.b = panel_filter + taps.first * g.w.taps * g.c * Tile::kColumns + column;
          TileEpilogue epilogue = of_pixels.at(0, k0);
          t.epilogue = &epilogue;
          t.c = row_buffer;
          t.c_row = Tile::kColumns;
          if (g.pooled) {
            t.c += i % 2 * row_floats(g);
          } else if (nchw) {
            epilogue = epilogue.bias_alone();
          } else {
            const int64_t pixel = image * out_plane + out_row * g.w.out_size + g.w.out_first;
            epilogue = epilogue.at(pixel, 0);
            t.c = o.result + pixel * g.out_pixel + k0;
            t.c_row = g.w.out_step * g.out_pixel;
          }
          multiply_row(g, taps, at_border, t);
          if (g.pooled) {
            if (i % 2 == 1) {
              store_pooled_row(g, row_buffer, t.columns, image, out_row / 2, k0, o.result);
            }
          } else if (nchw) {
            const int64_t at = image * g.out_image() + k0 * out_plane + out_row * g.w.out_size;
            store_row_nchw<Tile::kLanes>(row_buffer, Tile::kColumns, g.w, t.columns, o.result + at,
                                         out_plane);
            finish_rows<Tile::kLanes>(
                o.result + at, out_plane, t.columns, g.w.out_size,
                epilogue_of_planes(o.epilogue, out_plane).without_bias().at_offset(at));
          }
        }
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
