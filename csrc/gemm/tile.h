// SPDX-License-Identifier: BSD-3-Clause
// The fp32 micro-kernel that conv2d, linear and the recurrent cells share, compiled once per ISA
// (<isa>.cpp, out of micro_kernels.h).
//
//   c[i][j] = init[i][j] + sum_s sum_k a[segments[s] + i*a_row + k*a_k] * b[(s*length + k)*b_k + j]
//
// A tile of `rows` x `columns` outputs stays in registers while the reduction streams past:
// each step loads one row of b as vectors, broadcasts one element of a per row, and multiplies. The
// columns are the vector dimension, so b is read contiguously (packed panels, mostly) and a may lie
// anywhere with any strides: rows of a matrix, pixels of an image, or the transpose of either. A
// segment is a run of the reduction with constant stride in a; a convolution has one per filter row
// or tap, a matrix product just one.
//
// Tile sizes: rows x vectors accumulators, one row of b and one broadcast must fit the register
// file: 14 x 2 or 6 x 4 of 32 (AVX-512), 6 x 2 of 16 (AVX2, SSE). Per step that is rows + vectors
// loads for rows * vectors multiply-adds, so the multiply-add units are the limit, not the load
// ports. At least 8 independent accumulators hide the latency of a multiply-add.
//
// After kChain steps the sums leave the registers for c and start again from zero. That costs 2 %
// and bounds how long a chain of additions grows, and with it the rounding error: the partial sums
// are as exact as those of a product of depth kChain, and there are few of them.
#pragma once

#include "common/simd/finish.h"

namespace cnnext {

// The tiles of an ISA with so many registers of so many lanes, at most so many vectors wide.
template <int Lanes, int Vectors, int Registers>
struct TileShape {
  static constexpr int kLanes = Lanes;
  static constexpr int kVectors = Vectors;
  static constexpr int kColumns = Lanes * Vectors;

  // The rows of a tile of so many vectors. One that is alone takes more than it needs to hide
  // latency, but not all.
  CNNEXT_INLINE static constexpr int rows(int vectors) {
    return vectors == 1 ? 14 : (Registers - 1) / vectors - 1;
  }
  CNNEXT_INLINE static constexpr int vectors(int64_t columns) {
    return columns >= kColumns ? kVectors : static_cast<int>(ceil_div(columns, kLanes));
  }
  // The rows of a panel of so many columns.
  CNNEXT_INLINE static constexpr int64_t panel_rows(int64_t columns) {
    return rows(vectors(columns));
  }
  static constexpr int kMaxRows = rows(1);
};

// The tile that an ISA with vectors of so many lanes has registers for: many rows, for a b that
// streams from L2 or beyond.
template <int Lanes>
using TallTile = TileShape<Lanes, 2, Lanes == 16 ? 32 : 16>;

// For a b that stays in L2: many columns, which need fewer loads for as many multiply-adds.
template <int Lanes>
using WideTile = TileShape<Lanes, Lanes == 16 ? 4 : 2, Lanes == 16 ? 32 : 16>;

constexpr int64_t kChain = 256;

// The rows of the next tile of at most `max_rows`, of so many that are left: 8 run as 4 + 4 rather
// than 6 + 2, because few rows cost as many loads of b as many.
CNNEXT_INLINE constexpr int64_t even_share(int64_t rows, int64_t max_rows) {
  return ceil_div(rows, ceil_div(rows, max_rows));
}

struct TileOperands {
  const float* a;
  const int64_t* segments;
  int64_t n_segments, length;
  int64_t a_row, a_k;
  const float* b;
  int64_t b_k;
  const float* init;  // null: start from zero; init_row 0: one row for all, which is a bias
  int64_t init_row;
  float* c;
  int64_t c_row;
  int64_t columns;                         // of init and c; b is readable up to the vector boundary
  const TileEpilogue* epilogue = nullptr;  // null: more is to be added
};

// Some of a panel's rows: at most Tile::panel_rows(t.columns).
template <class Tile>
void multiply_rows(int64_t rows, const TileOperands& t);

#define CNNEXT_DECLARE(Tile) \
  template <>                \
  void multiply_rows<Tile>(int64_t rows, const TileOperands& t);
CNNEXT_DECLARE(TallTile<4>)
CNNEXT_DECLARE(TallTile<8>)
CNNEXT_DECLARE(TallTile<16>)
CNNEXT_DECLARE(WideTile<16>)
#undef CNNEXT_DECLARE

namespace {

// All `rows` rows, tile after tile; a and c (and init, if it has rows) advance together.
template <class Tile>
void multiply_panel(int64_t rows, TileOperands t) {
  const int64_t max_rows = Tile::panel_rows(t.columns);
  TileEpilogue epilogue;
  while (rows > 0) {
    const int64_t tile_rows = even_share(rows, max_rows);
    multiply_rows<Tile>(tile_rows, t);
    rows -= tile_rows;
    t.a += tile_rows * t.a_row;
    if (t.init != nullptr) t.init += tile_rows * t.init_row;
    t.c += tile_rows * t.c_row;
    if (t.epilogue != nullptr) {
      epilogue = t.epilogue->at(tile_rows, 0);
      t.epilogue = &epilogue;
    }
  }
}

}  // namespace
}  // namespace cnnext
