// SPDX-License-Identifier: BSD-3-Clause
// Micro-kernels on operands that were packed for them: c = a b, or c = init + a b, with b a panel,
// [depth][kColumns], of which a step multiplies with one row, and a in one of two orders, vectors
// along the reduction or vectors of rows:
//
//   multiply_packed       a  [depth / N][rows][N]
//   multiply_transposed   a  [depth][a_step], of which rows are read
//
// c and init are [rows][kColumns]; with _into they lie in a larger matrix.
//
// As in tile.h all sums stay in registers; but the distances within the operands are constants,
// which leaves a step with nothing but its loads and multiply-adds. After every `chain` steps the
// sums leave the registers and are added to c, which bounds the rounding error: two short chains
// of additions instead of a long one.
#pragma once

#include "common/simd.h"
#include "gemm/tile.h"

namespace cnnext {
namespace {

struct PackedOperands {
  const float *a, *b;
  int64_t depth, chain;  // a chain is a multiple of the lanes
  const float* init;     // null: start from zero
  float* c;
  int64_t columns;
  int64_t a_step = 0;               // of multiply_transposed
  const float* row_bias = nullptr;  // of the _into forms, beside init
  // What multiply_packed reads next, to have it come while the sums grow, because hardware
  // prefetchers stop at the end of every page: as many rows in the order of a, and a panel as large
  // as b, or null if that is in L1 already.
  const float *next_a = nullptr, *next_b = nullptr;
};

// Where c and init are not packed, and the next rows of a not yet.
struct ProductPlace {
  int64_t init_row;  // 0: one row for all, which is a bias
  int64_t c_row;
  int64_t next_row;  // along next_a, whose reduction is contiguous
};

template <int N, int Rows, int Vectors, int RowStep>
CNNEXT_INLINE void packed_step(const float* a, const float* b, f32<N> (&acc)[Rows][Vectors]) {
  f32<N> b_vec[Vectors];
  for (int j = 0; j < Vectors; ++j) b_vec[j] = load<N>(b + j * N);
  for (int i = 0; i < Rows; ++i) {
    const f32<N> a_vec = broadcast<N>(a[i * RowStep]);
    for (int j = 0; j < Vectors; ++j) acc[i][j] += a_vec * b_vec[j];
  }
}

template <int N, int Columns, bool kAhead>
struct VectorsAlongDepth {
  template <int Rows, int Vectors>
  static void multiply(const PackedOperands& o) {
    const float *a = o.a, *b = o.b, *next_a = o.next_a, *next_b = o.next_b, *init = o.init;
    for (int64_t done = 0; done < o.depth; done += o.chain) {
      f32<N> acc[Rows][Vectors] = {};
      int64_t left = least(o.chain, o.depth - done);
      for (; left >= N; left -= N) {
        for (int i = 0; i < Rows; ++i) __builtin_prefetch(next_a + i * N);
        for (int k = 0; k < N; ++k) {
          if constexpr (kAhead) {
            for (int j = 0; j < Vectors; ++j) __builtin_prefetch(next_b + j * N);
            next_b += Columns;
          }
          packed_step<N, Rows, Vectors, N>(a + k, b, acc);
          b += Columns;
        }
        a += Rows * N;
        next_a += Rows * N;
      }
      for (int64_t k = 0; k < left; ++k) {
        packed_step<N, Rows, Vectors, N>(a + k, b, acc);
        b += Columns;
      }
      store_sums<N>(acc, init, Columns, o.c, Columns, N * Vectors);
      init = o.c;
    }
  }
};

template <int N, int Columns>
struct VectorsAlongDepthIntoPlace {
  template <int Rows, int Vectors>
  static void multiply(const PackedOperands& o, const ProductPlace& place) {
    const float *a = o.a, *b = o.b, *next_a = o.next_a, *init = o.init;
    int64_t init_row = place.init_row;
    for (int i = 0; i < Rows; ++i) {
      for (int j = 0; j < Vectors; ++j) __builtin_prefetch(o.c + i * place.c_row + j * N, 1);
    }
    for (int64_t done = 0; done < o.depth; done += o.chain) {
      f32<N> acc[Rows][Vectors] = {};
      int64_t left = least(o.chain, o.depth - done);
      for (; left >= N; left -= N) {
        for (int i = 0; i < Rows; ++i) __builtin_prefetch(next_a + i * place.next_row);
        next_a += N;
        CNNEXT_UNROLL(16)
        for (int k = 0; k < N; ++k) {
          packed_step<N, Rows, Vectors, N>(a + k, b, acc);
          b += Columns;
        }
        a += Rows * N;
      }
      for (int64_t k = 0; k < left; ++k) {
        packed_step<N, Rows, Vectors, N>(a + k, b, acc);
        b += Columns;
      }
      if (o.row_bias != nullptr && done == 0) {
        for (int i = 0; i < Rows; ++i) {
          for (int j = 0; j < Vectors; ++j) acc[i][j] += broadcast<N>(o.row_bias[i]);
        }
      }
      store_sums<N>(acc, init, init_row, o.c, place.c_row, o.columns);
      init = o.c;
      init_row = place.c_row;
    }
  }
};

template <int N, int Columns>
struct VectorsOfRows {
  template <int Rows, int Vectors>
  static void multiply(const PackedOperands& o) {
    const float *a = o.a, *b = o.b, *init = o.init;
    for (int64_t done = 0; done < o.depth; done += o.chain) {
      f32<N> acc[Rows][Vectors] = {};
      const int64_t steps = least(o.chain, o.depth - done);
      CNNEXT_UNROLL(4)
      for (int64_t k = 0; k < steps; ++k) {
        packed_step<N, Rows, Vectors, 1>(a, b, acc);
        a += o.a_step;
        b += Columns;
      }
      store_sums<N>(acc, init, Columns, o.c, Columns, N * Vectors);
      init = o.c;
    }
  }
};

template <int N, int Columns>
struct VectorsOfRowsIntoPlace {
  template <int Rows, int Vectors>
  static void multiply(const PackedOperands& o, const ProductPlace& place) {
    const float *a = o.a, *b = o.b;
    for (int i = 0; i < Rows; ++i) {
      for (int j = 0; j < Vectors; ++j) __builtin_prefetch(o.c + i * place.c_row + j * N, 1);
    }
    f32<N> acc[Rows][Vectors] = {};
    CNNEXT_UNROLL(4)
    for (int64_t k = 0; k < o.depth; ++k) {
      packed_step<N, Rows, Vectors, 1>(a, b, acc);
      a += o.a_step;
      b += Columns;
    }
    if (o.row_bias != nullptr) {
      for (int i = 0; i < Rows; ++i) {
        for (int j = 0; j < Vectors; ++j) acc[i][j] += broadcast<N>(o.row_bias[i]);
      }
    }
    store_sums<N>(acc, o.init, place.init_row, o.c, place.c_row, o.columns);
  }
};

// Vectors of a panel beyond its columns are left alone.
template <class Tile, class Order, int Vectors = Tile::kVectors, int Rows = Tile::rows(Vectors),
          class... Place>
void multiply_ordered(int64_t rows, const PackedOperands& o, const Place&... place) {
  if constexpr (Vectors > 1 && Rows == Tile::rows(Vectors)) {
    if (o.columns <= (Vectors - 1) * Tile::kLanes) {
      return multiply_ordered<Tile, Order, Vectors - 1>(rows, o, place...);
    }
  }
  if (rows == Rows) {
    Order::template multiply<Rows, Vectors>(o, place...);
  } else if constexpr (Rows > 1) {
    multiply_ordered<Tile, Order, Vectors, Rows - 1>(rows, o, place...);
  }
}

template <class Tile>
void multiply_packed(int64_t rows, const PackedOperands& o) {
  constexpr int N = Tile::kLanes, Columns = Tile::kColumns;
  if (o.next_b == nullptr) {
    multiply_ordered<Tile, VectorsAlongDepth<N, Columns, false>>(rows, o);
  } else {
    multiply_ordered<Tile, VectorsAlongDepth<N, Columns, true>>(rows, o);
  }
}

template <class Tile>
void multiply_packed_into(int64_t rows, const PackedOperands& o, const ProductPlace& place) {
  multiply_ordered<Tile, VectorsAlongDepthIntoPlace<Tile::kLanes, Tile::kColumns>>(rows, o, place);
}

// For a depth of one chain.
template <class Tile>
void multiply_transposed_into(int64_t rows, const PackedOperands& o, const ProductPlace& place) {
  multiply_ordered<Tile, VectorsOfRowsIntoPlace<Tile::kLanes, Tile::kColumns>>(rows, o, place);
}

template <class Tile>
void multiply_transposed(int64_t rows, const PackedOperands& o) {
  multiply_ordered<Tile, VectorsOfRows<Tile::kLanes, Tile::kColumns>>(rows, o);
}

}  // namespace
}  // namespace cnnext
