// SPDX-License-Identifier: BSD-3-Clause
// Matrix products out of tiles: c = a b, or what an epilogue makes of it, with any strides in a and
// b.
//
//   for each task: a block of rows x a block of column panels
//     for k0 in steps of kDepth, for each group of panels that fits the scratch:
//       pack b[k0 : k0+kDepth, group] into scratch             -- a quarter of L2, stays there
//       for each tile of rows, for each panel of the group:
//         multiply, adding to c                                -- a's rows stay in L1
//
// b is packed right where it is used: each element once per block of rows, so that a matrix of
// weights that is read for a few rows of activations streams through the caches once. Rows of a
// whose reduction is contiguous are packed a tile at a time while memory brings the next; rows that
// are contiguous among each other, some tiles at a time; others are read in place. Tiles walk along
// the rows of c, so that even a product of little depth, which is all writing, writes memory in
// order. With few rows and contiguous columns there is nothing to gain from packing: b is read in
// place, few rows of it at a time, in order. A b that serves many products may come packed as a
// whole, in the order in which blocks would pack it: [step of the reduction][panel][k][column].
#pragma once

#include <limits>

#include "common/kernel/kernel.h"
#include "common/kernel/machine.h"
#include "common/simd/prepare.h"
#include "gemm/packed.h"

namespace cnnext {
namespace {

struct MatrixProduct {
  int64_t m, n, k;
  const float* a;
  int64_t a_row, a_k;
  const float* b;
  int64_t b_k, b_column;
  TileEpilogue epilogue;
  float* c;
  int64_t c_row;                    // columns of c are contiguous
  bool accumulate;                  // add to what c holds
  const float* packed_b = nullptr;  // of BlockedProduct::pack_b; b is not read then
  Prologue<float> prologue;         // of a, if its reduction is contiguous: channels of pixels,
  int64_t image_rows = 1;           // so many rows an image
};

template <class Tile>
struct BlockedProduct {
  static constexpr int64_t kDepth = kChain;  // a tile's rows of a, 14 KB, stay in L1
  // Rows of a transposed a, read in as many cache lines: single ones would come in vain for the
  // other rows in them, if steps of the reduction are so far apart that they drive each other out.
  static constexpr int64_t kTransposedRows = 48;
  static constexpr int64_t kRowsAhead = 16;  // how far ahead of the reduction to prefetch
  // The packing of b, which every block of rows repeats, stays a fraction of the multiplications.
  static constexpr int64_t kPackings = 48;
  static constexpr int64_t kPackingRows = 8;      // cost as much as to pack the panel
  static constexpr int64_t kFewRows = 8;          // up to here, b is read in place where it can be
  static constexpr int64_t kInPlaceDepth = 16;    // rows of b that the prefetchers can follow
  static constexpr int64_t kPackedColumns = 256;  // of a task of pack_b

  // Room for panels, at least for one; behind it are rows of a.
  static int64_t scratch_floats() { return l2_floats(4); }
  static_assert(kDepth * Tile::kColumns * sizeof(float) <= kMinL2 / 4);
  static int64_t scratch_bytes() {
    return 4 * (scratch_floats() + max(Tile::kMaxRows, kTransposedRows) * kDepth);
  }

  struct Blocking {
    int64_t row_blocks, rows;        // rows per block
    int64_t column_blocks, columns;  // columns per block: whole panels, or some vectors of one
    int64_t tasks() const { return row_blocks * column_blocks; }
  };

  // Shares out rows and panels so that the busiest thread has least to do.
  static Blocking blocking(int64_t m, int64_t n, int64_t products, int threads,
                           int64_t packing_rows = kPackingRows) {
    const int64_t vectors = ceil_div(n, Tile::kLanes);
    const int64_t all_panels = ceil_div(n, Tile::kColumns);
    const int64_t tile_rows = Tile::panel_rows(n);
    const int64_t fewest = ceil_div(m, kPackings * packing_rows / tile_rows * tile_rows);
    Blocking best{};
    int64_t min_work = std::numeric_limits<int64_t>::max();
    for (int64_t max_panels = all_panels, panels; max_panels > 0; max_panels = panels - 1) {
      const int64_t panel_blocks = ceil_div(all_panels, max_panels);
      panels = ceil_div(all_panels, panel_blocks);  // the fewest that need no more blocks
      const int64_t width = min(vectors, panels * Tile::kVectors);
      const int64_t rounds = ceil_div(products * fewest * panel_blocks, threads);
      const int64_t even = rounds * threads / (products * panel_blocks);
      const int64_t candidates[] = {fewest, even};
      for (const int64_t wanted : candidates) {
        // Tiles share rows evenly, so a block needs no whole tiles.
        const int64_t rows = ceil_div(m, max(fewest, min(wanted, ceil_div(m, tile_rows))));
        const Blocking b{ceil_div(m, rows), rows, panel_blocks, panels * Tile::kColumns};
        const int64_t tasks = ceil_div(products * b.tasks(), threads);
        const int64_t work = tasks * width * (min(rows, m) + packing_rows);
        if (work < min_work) {
          min_work = work;
          best = b;
        }
      }
    }
    return are_uneven(products * best.tasks(), threads)
               ? even_blocking(m, n, products, threads, packing_rows, fewest)
               : best;
  }

  // Also of tasks that are narrower than a panel, and of fewer rows than a tile.
  static Blocking even_blocking(int64_t m, int64_t n, int64_t products, int threads,
                                int64_t packing_rows, int64_t min_row_blocks) {
    constexpr int64_t kMaxRounds = 4;        // of tasks
    constexpr int64_t kMinAccumulators = 8;  // fewer wait for each other
    const int64_t vectors = ceil_div(n, Tile::kLanes);
    Blocking best{};
    int64_t min_work = std::numeric_limits<int64_t>::max();
    for (int64_t blocks = 1; blocks <= vectors; ++blocks) {
      int64_t width = ceil_div(vectors, blocks);
      while (width < Tile::kVectors && Tile::kVectors % width != 0) ++width;
      const int64_t columns = round_up(width, min(width, Tile::kVectors)) * Tile::kLanes;
      const int64_t column_blocks = ceil_div(n, columns);
      const int64_t min_rows = ceil_div(kMinAccumulators, min(width, Tile::kVectors));
      for (int64_t rounds = 1; rounds <= kMaxRounds; ++rounds) {
        const int64_t wanted = rounds * threads / (products * column_blocks);
        const int64_t rows = ceil_div(m, max(min_row_blocks, min(wanted, m)));
        const Blocking b{ceil_div(m, rows), rows, column_blocks, columns};
        const int64_t tasks = ceil_div(products * b.tasks(), threads);
        const int64_t work = tasks * width * (max(rows, min_rows) + packing_rows);
        if (work < min_work) {
          min_work = work;
          best = b;
        }
      }
    }
    return best;
  }

  // A plan of one phase with the tasks of all products; `blocking` below reads it back.
  static Plan plan(const Blocking& b, int64_t products) {
    Plan plan;
    plan.tasks[0] = products * b.tasks();
    plan.chunk_bytes = scratch_bytes();
    plan.block[0] = b.row_blocks;
    plan.block[1] = b.rows;
    plan.block[2] = b.column_blocks;
    plan.block[3] = b.columns;
    return plan;
  }
  static Blocking blocking(const Plan& plan) {
    return {plan.block[0], plan.block[1], plan.block[2], plan.block[3]};
  }

  // All of b as panels; a task of packing is a group of panels that would fit the scratch.
  static PackFormat packed_b(int64_t n, int64_t k) {
    PackFormat format;
    format.order = "product panels";
    format.columns = Tile::kColumns;
    format.bytes = 4 * k * round_up(n, Tile::kColumns);
    format.tasks = ceil_div(k, kDepth) * ceil_div(n, kPackedColumns);
    format.optional = true;
    return format;
  }
  static void pack_b(const MatrixProduct& p, const Slice& slice) {
    for_each_group(p.n, p.k, slice,
                   [&](int64_t k0, int64_t depth, int64_t j, int64_t columns, float* panels) {
                     pack_columns(p.b + k0 * p.b_k + j * p.b_column, p.b_k, p.b_column, depth,
                                  columns, panels, depth);
                   });
  }
  // Calls f(first step of the reduction, steps, first column, columns, where their panels belong)
  // for the tasks of a slice.
  template <class F>
  static void for_each_group(int64_t n, int64_t k, const Slice& slice, const F& f) {
    const int64_t groups = ceil_div(n, kPackedColumns);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const int64_t k0 = task / groups * kDepth, j = task % groups * kPackedColumns;
      const int64_t depth = min(kDepth, k - k0);
      f(k0, depth, j, min(kPackedColumns, n - j),
        reinterpret_cast<float*>(slice.packed) + packed_offset(n, k0, depth, j));
    }
  }
  // Where column j lies in its panel, of `depth` steps from k0 on.
  static int64_t packed_offset(int64_t n, int64_t k0, int64_t depth, int64_t j) {
    const int64_t column = j % Tile::kColumns;
    return k0 * round_up(n, Tile::kColumns) + (j - column) * depth + column;
  }

  // Rows [m0, m0 + rows) and columns [g0, g1) of c, [k0, k0 + depth) of the reduction.
  struct Part {
    int64_t m0, rows, k0, depth, g0, g1;
  };

  // Rows [m0, m0 + rows) and columns [n0, n1): what a task has of the product m x n.
  struct Range {
    int64_t m0, rows, n0, n1;
  };
  static Range range(const Blocking& b, int64_t task, int64_t m, int64_t n) {
    const int64_t m0 = task / b.column_blocks * b.rows;
    const int64_t n0 = task % b.column_blocks * b.columns;
    return {m0, min(b.rows, m - m0), n0, min(n, n0 + b.columns)};
  }

  // The parts of a task of the product m x n x k, in the order of the sums: `step` of the
  // reduction, and as many columns as scratch holds the panels of.
  template <class F>
  static void for_each_part(const Blocking& b, int64_t task, int64_t m, int64_t n, int64_t k,
                            int64_t step, const F& f) {
    const Range r = range(b, task, m, n);
    for (int64_t k0 = 0; k0 < k; k0 += step) {
      const int64_t depth = min(step, k - k0);
      const int64_t group = scratch_floats() / (depth * Tile::kColumns) * Tile::kColumns;
      for (int64_t g0 = r.n0; g0 < r.n1; g0 += group) {
        f(Part{r.m0, r.rows, k0, depth, g0, min(r.n1, g0 + group)});
      }
    }
  }

  static void run_task(const MatrixProduct& p, const Blocking& b, int64_t task, float* scratch) {
    const int64_t rows = min(b.rows, p.m - task / b.column_blocks * b.rows);
    const bool in_place =
        p.packed_b == nullptr && p.b_column == 1 && rows <= kFewRows && !p.prologue.exists();
    const int64_t step = in_place ? kInPlaceDepth : kDepth;
    for_each_part(b, task, p.m, p.n, p.k, step, [&](const Part& part) {
      const bool add = p.accumulate || part.k0 > 0;
      const float* panels = scratch;
      int64_t unpacked = 0;
      if (p.packed_b != nullptr) {
        panels = p.packed_b + packed_offset(p.n, part.k0, part.depth, part.g0);
      } else {
        const int64_t columns = part.g1 - part.g0;
        if (in_place) unpacked = columns / Tile::kColumns * Tile::kColumns;
        pack_columns(p.b + part.k0 * p.b_k + (part.g0 + unpacked) * p.b_column, p.b_k, p.b_column,
                     part.depth, columns - unpacked, scratch + unpacked * part.depth, part.depth);
      }
      float* const packed_rows = scratch + scratch_floats();
      if (!in_place && p.a_k == 1) {
        const float* const next =
            p.packed_b == nullptr ? nullptr : next_panels(p, range(b, task, p.m, p.n), part);
        multiply_packed_rows(p, MatrixRows{p.a, p.a_row, p.prologue, p.image_rows}, part, add,
                             panels, next, packed_rows);
      } else if (!in_place && p.a_row == 1) {
        multiply_transposed_rows(p, part, add, panels, packed_rows);
      } else {
        multiply_rows_in_place(p, part, unpacked, add, panels);
      }
    });
  }

  // Where the panels of the part after this one lie in a packed b; null behind the last.
  static const float* next_panels(const MatrixProduct& p, const Range& r, const Part& part) {
    if (part.g1 < r.n1) return p.packed_b + packed_offset(p.n, part.k0, part.depth, part.g1);
    const int64_t k0 = part.k0 + part.depth;
    if (k0 == p.k) return nullptr;
    return p.packed_b + packed_offset(p.n, k0, min(kDepth, p.k - k0), r.n0);
  }

  // Rows of a matrix whose reduction is contiguous.
  struct MatrixRows {
    const float* a;
    int64_t step;
    Prologue<float> prologue = {};
    int64_t image_rows = 1;

    const float* at(int64_t i, int64_t k) const { return a + i * step + k; }

    // Rows [i, i + count), [k, k + depth) of each: [depth / N][count][N]; what lies beyond the
    // depth is left alone.
    void pack(int64_t i, int64_t count, int64_t k, int64_t depth, float* packed) const {
      if (prologue.exists()) return pack_prepared(i, count, k, depth, packed);
      for (int64_t row = 0; row < count; ++row) {
        const float* const from = at(i + row, k);
        float* const to = packed + row * N;
        int64_t done = 0;
        for (; done + N <= depth; done += N) store<N>(to + done * count, load<N>(from + done));
        if (done < depth) {
          store<N>(to + done * count, load_partial<N>(from + done, depth - done));
        }
      }
    }

   private:
    static constexpr int64_t N = Tile::kLanes;

    // The same of what the prologue makes of them, whose factors are loaded once for all rows of an
    // image.
    void pack_prepared(int64_t i, int64_t count, int64_t k, int64_t depth, float* packed) const {
      for (int64_t row = 0, next; row < count; row = next) {
        const int64_t image = (i + row) / image_rows;
        next = min(count, (image + 1) * image_rows - i);
        int64_t done = 0;
        for (; done + N <= depth; done += N) {
          const auto prepared = PreparedLanes<N>::of(prologue.at(image, k + done), N);
          for (int64_t r = row; r < next; ++r) {
            store<N>(packed + done * count + r * N, prepared(load<N>(at(i + r, k) + done)));
          }
        }
        if (done == depth) continue;
        const auto prepared = PreparedLanes<N>::of(prologue.at(image, k + done), depth - done);
        for (int64_t r = row; r < next; ++r) {
          const f32<N> some = load_partial<N>(at(i + r, k) + done, depth - done);
          store<N>(packed + done * count + r * N, prepared(some));
        }
      }
    }
  };

  // `rows` packs the other operand of the part's panels, a tile at a time, and is like MatrixRows.
  // `next_panels` are those of the next part, if they come from beyond L2.
  template <class Rows>
  static void multiply_packed_rows(const MatrixProduct& p, const Rows& rows, const Part& part,
                                   bool add, const float* panels, const float* next_panels,
                                   float* packed_rows) {
    const ProductPlace place{p.c_row, rows.step};
    TileEpilogue epilogue;
    for_each_packed_tile(rows, part, panels, next_panels, packed_rows,
                         [&](int64_t i, int64_t count, int64_t j, PackedOperands& o) {
                           o.epilogue = epilogue_at(p, part, i, j, epilogue);
                           o.c = p.c + i * p.c_row + j;
                           o.init = add ? o.c : nullptr;
                           multiply_packed_into<Tile>(count, o, place);
                         });
  }

  // Calls f(first row, rows, first column, operands) for each tile of the part, where the operands
  // lack their place in c.
  template <class Rows, class F>
  static void for_each_packed_tile(const Rows& rows, const Part& part, const float* panels,
                                   const float* next_panels, float* packed_rows, const F& f) {
    const int64_t max_rows = Tile::panel_rows(part.g1 - part.g0);
    for (int64_t i = part.m0, count; i < part.m0 + part.rows; i += count) {
      count = even_share(part.m0 + part.rows - i, max_rows);
      rows.pack(i, count, part.k0, part.depth, packed_rows);
      PackedOperands o;
      o.a = packed_rows;
      o.depth = part.depth;
      o.next_a = rows.at(i + count, part.k0);
      for (int64_t j = part.g0; j < part.g1; j += Tile::kColumns) {
        o.b = panels + (j - part.g0) * part.depth;
        o.columns = min(Tile::kColumns, part.g1 - j);
        // The last tiles have the next panels come, one vector of each row of them.
        const int64_t tiles_left = ceil_div(part.m0 + part.rows - i - count, max_rows);
        o.next_b = next_panels == nullptr || tiles_left >= Tile::kVectors
                       ? o.b
                       : next_panels + (j - part.g0) * part.depth + tiles_left * Tile::kLanes;
        f(i, count, j, o);
      }
    }
  }

  // Rows [0, count) of panels of `depth` rows: dst[(j / kColumns * depth + k) * kColumns +
  // j % kColumns] = b[k * b_k + j * b_column]. The last panel is filled up with zeros, since stale
  // scratch could hold denormals, which multiply slowly.
  static void pack_columns(const float* b, int64_t b_k, int64_t b_column, int64_t count,
                           int64_t columns, float* dst, int64_t depth) {
    const int64_t whole = columns / Tile::kColumns * Tile::kColumns;
    if (whole < columns) fill_zero(dst + whole * depth, count * Tile::kColumns);
    if (b_column == 1) {
      for (int64_t k = 0; k < count; ++k) {  // along the rows of b, in the order of its memory
        float* row = dst + k * Tile::kColumns;
        const float* src = b + k * b_k;
        for (int64_t j = 0; j < whole; j += Tile::kColumns) {
          copy(row + j * depth, src + j, Tile::kColumns);
        }
        copy(row + whole * depth, src + whole, columns - whole);
      }
      return;
    }
    for (int64_t j = 0; j < columns; j += Tile::kColumns) {
      const float* src = b + j * b_column;
      float* panel = dst + j * depth;
      const int64_t width = min(Tile::kColumns, columns - j);
      if (b_k == 1) {
        transpose_block<Tile::kLanes>(src, b_column, panel, Tile::kColumns, width, count);
        continue;
      }
      for (int64_t k = 0; k < count; ++k) {
        for (int64_t i = 0; i < width; ++i) {
          panel[k * Tile::kColumns + i] = src[k * b_k + i * b_column];
        }
      }
    }
  }

 private:
  // Neighbouring rows of a are contiguous in memory.
  static void multiply_transposed_rows(const MatrixProduct& p, const Part& part, bool add,
                                       const float* panels, float* packed_rows) {
    const int64_t max_rows = Tile::panel_rows(part.g1 - part.g0);
    const ProductPlace place{p.c_row, 0};
    TileEpilogue epilogue;
    for (int64_t first = 0; first < part.rows; first += kTransposedRows) {
      const int64_t group = min(kTransposedRows, part.rows - first);
      for (int64_t k = 0; k < part.depth; ++k) {
        const float* const from = p.a + (part.k0 + k) * p.a_k + part.m0 + first;
        float* const to = packed_rows + k * kTransposedRows;
        for (int64_t r = 0; r < group; r += Tile::kLanes) {
          __builtin_prefetch(from + r + kRowsAhead * p.a_k);
          store<Tile::kLanes>(to + r,
                              load_partial<Tile::kLanes>(from + r, min(Tile::kLanes, group - r)));
        }
      }
      for (int64_t i = 0; i < group; i += max_rows) {
        const int64_t row = part.m0 + first + i;
        for (int64_t j = part.g0; j < part.g1; j += Tile::kColumns) {
          PackedOperands o;
          o.a = packed_rows + i;
          o.a_step = kTransposedRows;
          o.b = panels + (j - part.g0) * part.depth;
          o.depth = part.depth;
          o.columns = min(Tile::kColumns, part.g1 - j);
          o.epilogue = epilogue_at(p, part, row, j, epilogue);
          o.c = p.c + row * p.c_row + j;
          o.init = add ? o.c : nullptr;
          multiply_transposed_into<Tile>(min(max_rows, group - i), o, place);
        }
      }
    }
  }

  // The first `unpacked` columns of the part are read in place, too; the others are panels.
  static void multiply_rows_in_place(const MatrixProduct& p, const Part& part, int64_t unpacked,
                                     bool add, const float* panels) {
    TileEpilogue epilogue;
    const int64_t max_rows = Tile::panel_rows(part.g1 - part.g0);
    for (int64_t i = 0, count; i < part.rows; i += count) {
      count = even_share(part.rows - i, max_rows);
      for (int64_t j = 0; j < part.g1 - part.g0; j += Tile::kColumns) {
        TileOperands t = tile_operands(p, part.m0 + i, part.k0, part.depth, add, part.g0 + j);
        t.columns = min(Tile::kColumns, part.g1 - part.g0 - j);
        t.epilogue = epilogue_at(p, part, part.m0 + i, part.g0 + j, epilogue);
        if (j < unpacked) {
          t.b = p.b + part.k0 * p.b_k + part.g0 + j;
          t.b_k = p.b_k;
        } else {
          t.b = panels + j * part.depth;
          t.b_k = Tile::kColumns;
        }
        multiply_rows<Tile>(count, t);
      }
    }
  }

  // The tile at row i, column j, without b.
  CNNEXT_INLINE static TileOperands tile_operands(const MatrixProduct& p, int64_t i, int64_t k0,
                                                  int64_t depth, bool add, int64_t j) {
    static constexpr int64_t kSegment = 0;
    TileOperands t;
    t.a = p.a + i * p.a_row + k0 * p.a_k;
    t.segments = &kSegment;
    t.n_segments = 1;
    t.length = depth;
    t.a_row = p.a_row;
    t.a_k = p.a_k;
    t.c = p.c + i * p.c_row + j;
    t.c_row = p.c_row;
    t.init = add ? t.c : nullptr;
    t.init_row = p.c_row;
    return t;
  }

  // That of the tile at row i, column j, if the part is the last of its sums; `own` is where to
  // put it.
  CNNEXT_INLINE static const TileEpilogue* epilogue_at(const MatrixProduct& p, const Part& part,
                                                       int64_t i, int64_t j, TileEpilogue& own) {
    if (part.k0 + part.depth < p.k || p.epilogue.is_empty()) return nullptr;
    own = p.epilogue.at(i, j);
    return &own;
  }
};

}  // namespace
}  // namespace cnnext
