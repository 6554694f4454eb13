// SPDX-License-Identifier: BSD-3-Clause
// Matrix products out of tiles: c = a b + bias, with any strides in a and b.
//
//   for each task: a block of rows x a block of column panels
//     for k0 in steps of kDepth:
//       for each panel (Tile::kColumns columns):
//         pack b[k0 : k0+kDepth, panel] into scratch        -- contiguous, stays in L1
//         for each tile of rows: multiply, adding to c
//
// Only b is packed, and right where it is used: each element once per block of rows, so that a
// matrix of weights that is read for a few rows of activations streams through the caches once. The
// rows of a are read in place: kDepth of them per row, which the hardware prefetches.
#pragma once

#include "common/kernel.h"
#include "gemm/tile.h"

namespace cnnext {
namespace {

struct MatrixProduct {
  int64_t m, n, k;
  const float* a;
  int64_t a_row, a_k;
  const float* b;
  int64_t b_k, b_column;
  const float* column_bias;  // of n elements, or null
  const float* row_bias;     // of m elements, or null; not together with column_bias
  float* c;
  int64_t c_row;    // columns of c are contiguous
  bool accumulate;  // add to what c holds; then there is no bias
};

template <class Tile>
struct BlockedProduct {
  static constexpr int64_t kDepth = 256;  // kDepth x 32 columns fill two thirds of a 48 KB L1
  // A block of a (384 x kDepth x 4 B = 384 KB) stays in L2, and the packing of b, which every block
  // of rows repeats, stays below 5 % of the multiplications.
  static constexpr int64_t kRowsPerTask = 384 / Tile::kRows * Tile::kRows;
  static constexpr int64_t kScratchBytes = kDepth * Tile::kColumns * sizeof(float);

  struct Blocking {
    int64_t row_blocks, rows;      // rows per block
    int64_t panel_blocks, panels;  // panels per block
    int64_t tasks() const { return row_blocks * panel_blocks; }
  };

  // Row blocks first; panels are shared out only as far as the threads need work.
  static Blocking blocking(int64_t m, int64_t n, int64_t products, int threads) {
    const int64_t wanted = 4 * threads;
    Blocking b;
    b.row_blocks = ceil_div(m, kRowsPerTask);
    b.rows = round_up(ceil_div(m, b.row_blocks), Tile::kRows);
    b.row_blocks = ceil_div(m, b.rows);
    const int64_t panels = ceil_div(n, Tile::kColumns);
    b.panel_blocks = least(panels, ceil_div(wanted, products * b.row_blocks));
    b.panels = ceil_div(panels, b.panel_blocks);
    b.panel_blocks = ceil_div(panels, b.panels);
    return b;
  }

  static void run_task(const MatrixProduct& p, const Blocking& blocking, int64_t task,
                       float* scratch) {
    const int64_t m0 = task / blocking.panel_blocks * blocking.rows;
    const int64_t rows = least(blocking.rows, p.m - m0);
    const int64_t n0 = task % blocking.panel_blocks * blocking.panels * Tile::kColumns;
    const int64_t n1 = least(p.n, n0 + blocking.panels * Tile::kColumns);
    if (p.row_bias != nullptr) {
      for (int64_t i = m0; i < m0 + rows; ++i) {
        for (int64_t j = n0; j < n1; ++j) p.c[i * p.c_row + j] = p.row_bias[i];
      }
    }
    const bool c_is_set = p.accumulate || p.row_bias != nullptr;
    const int64_t segment = 0;
    for (int64_t k0 = 0; k0 < p.k; k0 += kDepth) {
      const int64_t depth = least(kDepth, p.k - k0);
      for (int64_t j = n0; j < n1; j += Tile::kColumns) {
        TileOperands t;
        t.columns = least(Tile::kColumns, n1 - j);
        pack_columns(p.b + k0 * p.b_k + j * p.b_column, p.b_k, p.b_column, depth, t.columns,
                     scratch);
        t.a = p.a + m0 * p.a_row + k0 * p.a_k;
        t.segments = &segment;
        t.n_segments = 1;
        t.length = depth;
        t.a_row = p.a_row;
        t.a_k = p.a_k;
        t.b = scratch;
        t.b_k = Tile::kColumns;
        t.c = p.c + m0 * p.c_row + j;
        t.c_row = p.c_row;
        if (k0 > 0 || c_is_set) {
          t.init = t.c;
          t.init_row = p.c_row;
        } else {
          t.init = p.column_bias == nullptr ? nullptr : p.column_bias + j;
          t.init_row = 0;
        }
        multiply_panel<Tile>(rows, t);
      }
    }
  }

 private:
  // dst[k * kColumns + j] = b[k * b_k + j * b_column], and zero for the lanes past `columns`:
  // stale scratch could hold denormals, which multiply slowly.
  static void pack_columns(const float* b, int64_t b_k, int64_t b_column, int64_t depth,
                           int64_t columns, float* dst) {
    if (columns < Tile::kColumns) fill_zero(dst, depth * Tile::kColumns);
    if (b_column == 1) {
      for (int64_t k = 0; k < depth; ++k) copy(dst + k * Tile::kColumns, b + k * b_k, columns);
    } else if (b_k == 1) {
      transpose_block<Tile::kLanes>(b, b_column, dst, Tile::kColumns, columns, depth);
    } else {
      for (int64_t k = 0; k < depth; ++k) {
        for (int64_t j = 0; j < columns; ++j) {
          dst[k * Tile::kColumns + j] = b[k * b_k + j * b_column];
        }
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
