// SPDX-License-Identifier: BSD-3-Clause
// Micro-kernels on operands that were packed for them: c = a b, or c = init + a b, with b a panel,
// [depth][kColumns], of which a step multiplies with one row, and a in one of two orders, vectors
// along the reduction or vectors of rows:
//
//   multiply_packed       a  [depth / N][rows][N]
//   multiply_transposed   a  [depth][a_step], of which rows are read
//
// c and init are [rows][kColumns]; with _into they lie in a larger matrix, the depth is at most
// kChain, and c can be finished.
//
// As in tile.h all sums stay in registers; but the distances within the operands are constants,
// which leaves a step with nothing but its loads and multiply-adds. After every chain of steps the
// sums leave the registers and are added to c, which bounds the rounding error: two short chains
// of additions instead of a long one.
#pragma once

#include "gemm/tile.h"

namespace cnnext {

// Additions in registers, of multiply_packed (a multiple of the lanes) and multiply_transposed.
constexpr int64_t kPackedChain = 32, kTransposedChain = 64;

struct PackedOperands {
  const float *a, *b;
  int64_t depth;
  const float* init;  // null: start from zero
  float* c;
  int64_t columns;
  int64_t a_step = 0;                      // of multiply_transposed
  const TileEpilogue* epilogue = nullptr;  // of the _into forms; null: more is to be added
  // What is read next, to have it come while the sums grow, because hardware prefetchers stop at
  // the end of every page: as many rows in the order of a, and rows of kColumns of a panel, of
  // which multiply_packed has all vectors come, and multiply_packed_into one of each. A next_b that
  // is null, respectively b itself, asks for nothing.
  const float *next_a = nullptr, *next_b = nullptr;
};

// Where c and init are not packed, and the next rows of a not yet.
struct ProductPlace {
  int64_t c_row;
  int64_t next_row;  // along next_a, whose reduction is contiguous
};

// A tile's rows; vectors of a panel beyond its columns are left alone.
template <class Tile>
void multiply_packed(int64_t rows, const PackedOperands& o);
template <class Tile>
void multiply_transposed(int64_t rows, const PackedOperands& o);
template <class Tile>
void multiply_packed_into(int64_t rows, const PackedOperands& o, const ProductPlace& place);
template <class Tile>
void multiply_transposed_into(int64_t rows, const PackedOperands& o, const ProductPlace& place);

#define CNNEXT_DECLARE(lanes)                                                           \
  template <>                                                                           \
  void multiply_packed<TallTile<lanes>>(int64_t rows, const PackedOperands& o);         \
  template <>                                                                           \
  void multiply_transposed<TallTile<lanes>>(int64_t rows, const PackedOperands& o);     \
  template <>                                                                           \
  void multiply_packed_into<WideTile<lanes>>(int64_t rows, const PackedOperands& o,     \
                                             const ProductPlace& place);                \
  template <>                                                                           \
  void multiply_transposed_into<WideTile<lanes>>(int64_t rows, const PackedOperands& o, \
                                                 const ProductPlace& place);
CNNEXT_DECLARE(4)
CNNEXT_DECLARE(8)
CNNEXT_DECLARE(16)
#undef CNNEXT_DECLARE

}  // namespace cnnext
