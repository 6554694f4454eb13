// SPDX-License-Identifier: BSD-3-Clause
// Micro-kernels on operands that were packed for them: c = a b, or c = init + a b, with
//
//   b        [depth][kColumns]   a row is what one step multiplies with
//   c, init  [rows][kColumns]    they may be the same
//
// and a in one of two orders, vectors along the reduction or vectors of rows:
//
//   multiply_packed      a  [depth / N][rows][N]
//   multiply_transposed  a  [depth][a_step], of which rows are read
//
// As in tile.h all sums stay in registers; but the distances of rows are constants, which leaves a
// step with nothing but its loads and multiply-adds: a tenth faster where the depth is about 100.
// After every `chain` steps the sums leave the registers and are added to c, which bounds the
// rounding error: two short chains of additions instead of a long one.
#pragma once

#include "common/simd.h"
#include "gemm/tile.h"

namespace cnnext {
namespace {

struct PackedOperands {
  const float *a, *b;
  int64_t depth, chain;  // a chain is a multiple of the lanes
  const float* init;     // or null
  float* c;
  // What multiply_packed will read next, to have it come while the sums grow, because hardware
  // prefetchers stop at the end of every page; null for a b that stays in L1.
  const float *next_a, *next_b;
  int64_t a_step;  // of multiply_transposed
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

template <int N, int Rows, int Vectors, int Columns>
CNNEXT_INLINE void packed_store(f32<N> (&acc)[Rows][Vectors], const float* init, float* c) {
  for (int i = 0; i < Rows; ++i) {
    for (int j = 0; j < Vectors; ++j) {
      const int at = i * Columns + j * N;
      if (init != nullptr) acc[i][j] += load<N>(init + at);
      store<N>(c + at, acc[i][j]);
    }
  }
}

template <int N, int Columns, bool kAhead>
struct VectorsAlongDepth {
  template <int Rows, int Vectors>
  static void multiply(const PackedOperands& o) {
    const float *a = o.a, *b = o.b, *init = o.init;
    for (int64_t done = 0; done < o.depth; done += o.chain) {
      f32<N> acc[Rows][Vectors] = {};
      int64_t left = least(o.chain, o.depth - done);
      for (; left >= N; left -= N) {
        for (int i = 0; i < Rows; ++i) __builtin_prefetch(o.next_a + (a - o.a) + i * N);
        CNNEXT_UNROLL(4)
        for (int k = 0; k < N; ++k) {
          if constexpr (kAhead) {
            for (int j = 0; j < Vectors; ++j) __builtin_prefetch(o.next_b + (b - o.b) + j * N);
          }
          packed_step<N, Rows, Vectors, N>(a + k, b, acc);
          b += Columns;
        }
        a += Rows * N;
      }
      for (int64_t k = 0; k < left; ++k) {
        packed_step<N, Rows, Vectors, N>(a + k, b, acc);
        b += Columns;
      }
      packed_store<N, Rows, Vectors, Columns>(acc, init, o.c);
      init = o.c;
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
      packed_store<N, Rows, Vectors, Columns>(acc, init, o.c);
      init = o.c;
    }
  }
};

// `rows` is at most Rows; of a panel with a single vector of columns the second is left alone.
template <class Tile, class Order, int Rows = Tile::kRows>
void multiply_ordered(int64_t rows, int64_t columns, const PackedOperands& o) {
  if (rows == Rows) {
    if (columns <= Tile::kLanes) {
      Order::template multiply<Rows, 1>(o);
    } else {
      Order::template multiply<Rows, Tile::kVectors>(o);
    }
  } else if constexpr (Rows > 1) {
    multiply_ordered<Tile, Order, Rows - 1>(rows, columns, o);
  }
}

template <class Tile>
void multiply_packed(int64_t rows, int64_t columns, const PackedOperands& o) {
  constexpr int N = Tile::kLanes, Columns = Tile::kColumns;
  if (o.next_b == nullptr) {
    multiply_ordered<Tile, VectorsAlongDepth<N, Columns, false>>(rows, columns, o);
  } else {
    multiply_ordered<Tile, VectorsAlongDepth<N, Columns, true>>(rows, columns, o);
  }
}

template <class Tile>
void multiply_transposed(int64_t rows, int64_t columns, const PackedOperands& o) {
  multiply_ordered<Tile, VectorsOfRows<Tile::kLanes, Tile::kColumns>>(rows, columns, o);
}

}  // namespace
}  // namespace cnnext
