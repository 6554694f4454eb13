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
// The caller bounds the depth, and with it the rounding error of a chain of additions.
#pragma once

#include "common/simd.h"
#include "gemm/tile.h"

namespace cnnext {
namespace {

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

template <int N, int Columns>
struct VectorsAlongDepth {
  template <int Rows, int Vectors>
  static void multiply(const float* a, int64_t, const float* b, int64_t depth, const float* init,
                       float* c) {
    f32<N> acc[Rows][Vectors] = {};
    for (; depth >= N; depth -= N) {
      CNNEXT_UNROLL(4)
      for (int k = 0; k < N; ++k) {
        packed_step<N, Rows, Vectors, N>(a + k, b, acc);
        b += Columns;
      }
      a += Rows * N;
    }
    for (int64_t k = 0; k < depth; ++k) {
      packed_step<N, Rows, Vectors, N>(a + k, b, acc);
      b += Columns;
    }
    packed_store<N, Rows, Vectors, Columns>(acc, init, c);
  }
};

template <int N, int Columns>
struct VectorsOfRows {
  template <int Rows, int Vectors>
  static void multiply(const float* a, int64_t a_step, const float* b, int64_t depth,
                       const float* init, float* c) {
    f32<N> acc[Rows][Vectors] = {};
    CNNEXT_UNROLL(4)
    for (int64_t k = 0; k < depth; ++k) {
      packed_step<N, Rows, Vectors, 1>(a, b, acc);
      a += a_step;
      b += Columns;
    }
    packed_store<N, Rows, Vectors, Columns>(acc, init, c);
  }
};

// `rows` is at most Rows; of a panel with a single vector of columns the second is left alone.
template <class Tile, class Order, int Rows = Tile::kRows>
void multiply_ordered(int64_t rows, int64_t columns, const float* a, int64_t a_step, const float* b,
                      int64_t depth, const float* init, float* c) {
  if (rows == Rows) {
    if (columns <= Tile::kLanes) {
      Order::template multiply<Rows, 1>(a, a_step, b, depth, init, c);
    } else {
      Order::template multiply<Rows, Tile::kVectors>(a, a_step, b, depth, init, c);
    }
  } else if constexpr (Rows > 1) {
    multiply_ordered<Tile, Order, Rows - 1>(rows, columns, a, a_step, b, depth, init, c);
  }
}

template <class Tile>
void multiply_packed(int64_t rows, int64_t columns, const float* a, const float* b, int64_t depth,
                     const float* init, float* c) {
  multiply_ordered<Tile, VectorsAlongDepth<Tile::kLanes, Tile::kColumns>>(rows, columns, a, 0, b,
                                                                          depth, init, c);
}

template <class Tile>
void multiply_transposed(int64_t rows, int64_t columns, const float* a, int64_t a_step,
                         const float* b, int64_t depth, const float* init, float* c) {
  multiply_ordered<Tile, VectorsOfRows<Tile::kLanes, Tile::kColumns>>(rows, columns, a, a_step, b,
                                                                      depth, init, c);
}

}  // namespace
}  // namespace cnnext
