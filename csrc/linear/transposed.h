// SPDX-License-Identifier: BSD-3-Clause
// linear as y^T = w x^T, for fewer rows of activations than would pay for transposing the weights.
//
//   phase 0: pack x^T into panels, [kDepth][kColumns] each                -- stay in L2
//   phase 1: for each block of rows of w, for k0 in steps of kDepth, for each panel, for each tile:
//              copy the tile's rows of w, once for all panels             -- they stay in L2
//              multiply, adding to the block's rows of y^T                -- as these do
//            transpose those rows into y
//
// The weights stream through once, and in vectors along the reduction, as they lie in memory.
#pragma once

#include "gemm/block.h"
#include "linear/linear.h"

namespace cnnext {
namespace {

template <class Tile>
struct LinearTransposed {
  static Plan plan(const LinearShape& s, int threads) {
    Plan plan;
    plan.n_phases = 2;
    plan.block[0] = block_rows(s, threads);
    plan.tasks[0] = panels(s) * ceil_div(s.k, kDepth);
    plan.tasks[1] = ceil_div(s.n, plan.block[0]);
    plan.shared_bytes = panels(s) * Tile::kColumns * round_up(s.k, kDepth) * kFloat;
    plan.chunk_bytes = plan.block[0] * (round_up(s.m, Tile::kLanes) + kDepth) * kFloat;
    return plan;
  }

  static void run(const LinearShape& s, const Plan& plan, const LinearOperands<float>& o,
                  const Slice& slice) {
    float* const packed = reinterpret_cast<float*>(slice.shared);
    float* const chunk = reinterpret_cast<float*>(slice.chunk);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (slice.phase == 0) {
        pack(s, o, task, packed);
      } else {
        multiply(s, o, packed, task * plan.block[0], plan.block[0], chunk);
      }
    }
  }

 private:
  using Product = BlockedProduct<Tile>;

  static constexpr int64_t kFloat = sizeof(float);
  static constexpr int64_t kDepth = kChain;  // shorter rows of w would come from too many pages
  static constexpr int64_t kPanelFloats = kDepth * Tile::kColumns;

  static int64_t panels(const LinearShape& s) { return ceil_div(s.m, Tile::kColumns); }

  // Rows of w in a block, which is a task: what leaves y^T in L2, and shares out evenly.
  static int64_t block_rows(const LinearShape& s, int threads) {
    const int64_t tile_rows = Tile::panel_rows(s.m);
    const int64_t max_rows = max(tile_rows, l2_floats(4) / s.m);
    const int64_t blocks = round_up(ceil_div(s.n, max_rows), threads);
    return round_up(ceil_div(s.n, blocks), tile_rows);
  }

  // Task: one panel of one step of the reduction.
  static void pack(const LinearShape& s, const LinearOperands<float>& o, int64_t task,
                   float* packed) {
    const int64_t k0 = task / panels(s) * kDepth, m0 = task % panels(s) * Tile::kColumns;
    const int64_t row = o.x_pixel(s);
    Product::pack_columns(o.first + m0 * row + k0, 1, row, min(kDepth, s.k - k0),
                          min(Tile::kColumns, s.m - m0), packed + task * kPanelFloats, kDepth);
  }

  // Rows [first, first + max_rows) of w.
  static void multiply(const LinearShape& s, const LinearOperands<float>& o, const float* packed,
                       int64_t first, int64_t max_rows, float* chunk) {
    const typename Product::MatrixRows w{o.second, s.k};
    const int64_t rows = min(max_rows, s.n - first), row = round_up(s.m, Tile::kLanes);
    float* const sums = chunk;  // [rows][row]
    float* const copied = chunk + max_rows * row;
    const int64_t tile_rows = Tile::panel_rows(s.m);
    for (int64_t k0 = 0; k0 < s.k; k0 += kDepth) {
      const ProductPlace place{row, s.k};
      PackedOperands t;
      t.depth = min(kDepth, s.k - k0);
      t.b = packed + k0 / kDepth * panels(s) * kPanelFloats;
      for (int64_t m0 = 0; m0 < s.m; m0 += Tile::kColumns, t.b += kPanelFloats) {
        t.columns = min(Tile::kColumns, row - m0);
        for (int64_t i = 0, count; i < rows; i += count) {
          count = even_share(rows - i, tile_rows);
          float* const a = copied + (panels(s) > 1 ? i * kDepth : 0);
          if (m0 == 0) w.pack(first + i, count, k0, t.depth, a);
          t.a = a;
          t.next_b = t.b;
          t.next_a = w.at(first + min(i + count, rows - count), k0);
          t.c = sums + i * row + m0;
          t.init = k0 == 0 ? nullptr : t.c;
          multiply_packed_into<Tile>(count, t, place);
        }
      }
    }
    transpose_block<Tile::kLanes>(sums, row, o.result + first, o.y_pixel(s), rows, s.m);
    const TileEpilogue e = epilogue_of_pixels(o.epilogue, s.n);
    finish_rows<Tile::kLanes>(o.result + first, o.y_pixel(s), s.m, rows, e.at(0, first));
  }
};

}  // namespace
}  // namespace cnnext
