// SPDX-License-Identifier: BSD-3-Clause
// The bodies of what tile.h and packed.h declare, for <isa>.cpp to define once for all operators.
#pragma once

#include "gemm/packed.h"

namespace cnnext {
namespace {

// c = init + acc, or what the epilogue makes of that; init may be null, and its row 0. The cases
// are told apart outside of the loops, or else the compiler takes the sums through memory.
template <int N, int Rows, int Vectors>
CNNEXT_INLINE void store_sums(f32<N> (&acc)[Rows][Vectors], const float* init, int64_t init_row,
                              float* c, int64_t c_row, int64_t columns,
                              const TileEpilogue* epilogue = nullptr) {
  constexpr int kLast = Vectors - 1;
  const int64_t rest = columns - kLast * N;  // of the last vector; those before it are full
  if (init != nullptr && rest == N) {
    CNNEXT_UNROLL(16)
    for (int i = 0; i < Rows; ++i) {
      for (int j = 0; j < Vectors; ++j) acc[i][j] += load<N>(init + i * init_row + j * N);
    }
  } else if (init != nullptr) {
    CNNEXT_UNROLL(16)
    for (int i = 0; i < Rows; ++i) {
      const float* const from = init + i * init_row;
      for (int j = 0; j < kLast; ++j) acc[i][j] += load<N>(from + j * N);
      acc[i][kLast] += load_partial<N>(from + kLast * N, rest);
    }
  }
  const bool in_registers = epilogue != nullptr && suits_registers<N>(*epilogue, rest);
  if (in_registers) finish_in_registers<N>(acc, *epilogue, rest);
  if (rest == N) {
    CNNEXT_UNROLL(16)
    for (int i = 0; i < Rows; ++i) {
      for (int j = 0; j < Vectors; ++j) store<N>(c + i * c_row + j * N, acc[i][j]);
    }
  } else {
    CNNEXT_UNROLL(16)
    for (int i = 0; i < Rows; ++i) {
      float* const to = c + i * c_row;
      for (int j = 0; j < kLast; ++j) store<N>(to + j * N, acc[i][j]);
      store_partial<N>(to + kLast * N, acc[i][kLast], rest);
    }
  }
  if (epilogue != nullptr && !in_registers) finish_in_memory<N>(c, c_row, Rows, columns, *epilogue);
}

template <class Tile>
struct Strided {
  static constexpr int N = Tile::kLanes;

  template <int Rows, int Vectors>
  static void multiply(const TileOperands& t) {
    // One address register serves three rows (x86 addresses base + {0, 1, 2} * stride), which keeps
    // fourteen rows within the sixteen general registers.
    constexpr int kRowsPerBase = 3;
    constexpr int kBases = (Rows + kRowsPerBase - 1) / kRowsPerBase;

    const float* b = t.b;
    const float* init = t.init;
    int64_t init_row = t.init_row;
    for (int i = 0; i < Rows; ++i) {  // to have it come while the sums grow
      for (int j = 0; j < Vectors; ++j) __builtin_prefetch(t.c + i * t.c_row + j * N, 1);
    }
    int64_t s = 0, k = 0;  // where the reduction stands
    do {
      f32<N> acc[Rows][Vectors] = {};
      for (int64_t chain = kChain; chain > 0 && s < t.n_segments;) {
        const int64_t steps = t.length - k < chain ? t.length - k : chain;
        const float* a[kBases];
        for (int g = 0; g < kBases; ++g) {
          a[g] = t.a + t.segments[s] + k * t.a_k + g * kRowsPerBase * t.a_row;
        }
        for (int64_t step = 0; step < steps; ++step) {
          f32<N> b_vec[Vectors];
          for (int j = 0; j < Vectors; ++j) b_vec[j] = load<N>(b + j * N);
          for (int i = 0; i < Rows; ++i) {
            const f32<N> a_vec = broadcast<N>(a[i / kRowsPerBase][i % kRowsPerBase * t.a_row]);
            for (int j = 0; j < Vectors; ++j) acc[i][j] += a_vec * b_vec[j];
          }
          for (int g = 0; g < kBases; ++g) a[g] += t.a_k;
          b += t.b_k;
        }
        chain -= steps;
        k += steps;
        if (k == t.length) {
          k = 0;
          ++s;
        }
      }
      store_sums<N>(acc, init, init_row, t.c, t.c_row, t.columns,
                    s < t.n_segments ? nullptr : t.epilogue);
      init = t.c;
      init_row = t.c_row;
    } while (s < t.n_segments);
  }
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

template <class Tile, bool kAhead>
struct VectorsAlongDepth {
  static constexpr int N = Tile::kLanes, Columns = Tile::kColumns;

  template <int Rows, int Vectors>
  static void multiply(const PackedOperands& o) {
    const float *a = o.a, *b = o.b, *next_a = o.next_a, *next_b = o.next_b, *init = o.init;
    for (int64_t done = 0; done < o.depth; done += kPackedChain) {
      f32<N> acc[Rows][Vectors] = {};
      int64_t left = min(kPackedChain, o.depth - done);
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

template <class Tile>
struct VectorsAlongDepthIntoPlace {
  static constexpr int N = Tile::kLanes, Columns = Tile::kColumns;

  template <int Rows, int Vectors>
  static void multiply(const PackedOperands& o, const ProductPlace& place) {
    const float *a = o.a, *b = o.b, *next_a = o.next_a, *next_b = o.next_b;
    for (int i = 0; i < Rows; ++i) {
      for (int j = 0; j < Vectors; ++j) __builtin_prefetch(o.c + i * place.c_row + j * N, 1);
    }
    f32<N> acc[Rows][Vectors] = {};
    int64_t left = o.depth;
    for (; left >= N; left -= N) {
      for (int i = 0; i < Rows; ++i) __builtin_prefetch(next_a + i * place.next_row);
      next_a += N;
      CNNEXT_UNROLL(16)
      for (int k = 0; k < N; ++k) {
        __builtin_prefetch(next_b);
        packed_step<N, Rows, Vectors, N>(a + k, b, acc);
        b += Columns;
        next_b += Columns;
      }
      a += Rows * N;
    }
    for (int64_t k = 0; k < left; ++k) {
      packed_step<N, Rows, Vectors, N>(a + k, b, acc);
      b += Columns;
    }
    store_sums<N>(acc, o.init, place.c_row, o.c, place.c_row, o.columns, o.epilogue);
  }
};

template <class Tile>
struct VectorsOfRows {
  static constexpr int N = Tile::kLanes, Columns = Tile::kColumns;

  template <int Rows, int Vectors>
  static void multiply(const PackedOperands& o) {
    const float *a = o.a, *b = o.b, *init = o.init;
    for (int64_t done = 0; done < o.depth; done += kTransposedChain) {
      f32<N> acc[Rows][Vectors] = {};
      const int64_t steps = min(kTransposedChain, o.depth - done);
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

template <class Tile>
struct VectorsOfRowsIntoPlace {
  static constexpr int N = Tile::kLanes, Columns = Tile::kColumns;

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
    store_sums<N>(acc, o.init, place.c_row, o.c, place.c_row, o.columns, o.epilogue);
  }
};

// Calls Order::multiply<rows, vectors of the columns>.
template <class Tile, class Order, int Vectors = Tile::kVectors, int Rows = Tile::rows(Vectors),
          class Operands, class... Place>
void multiply_in_order(int64_t rows, const Operands& o, const Place&... place) {
  if constexpr (Vectors > 1 && Rows == Tile::rows(Vectors)) {
    if (o.columns <= (Vectors - 1) * Tile::kLanes) {
      return multiply_in_order<Tile, Order, Vectors - 1>(rows, o, place...);
    }
  }
  if (rows == Rows) {
    Order::template multiply<Rows, Vectors>(o, place...);
  } else if constexpr (Rows > 1) {
    multiply_in_order<Tile, Order, Vectors, Rows - 1>(rows, o, place...);
  }
}

}  // namespace

// Each defines some of the functions that tile.h and packed.h declare.
#define CNNEXT_DEFINE_STRIDED(Tile)                               \
  template <>                                                     \
  void multiply_rows<Tile>(int64_t rows, const TileOperands& o) { \
    multiply_in_order<Tile, Strided<Tile>>(rows, o);              \
  }

#define CNNEXT_DEFINE_PACKED(Tile)                                        \
  template <>                                                             \
  void multiply_packed<Tile>(int64_t rows, const PackedOperands& o) {     \
    if (o.next_b == nullptr) {                                            \
      multiply_in_order<Tile, VectorsAlongDepth<Tile, false>>(rows, o);   \
    } else {                                                              \
      multiply_in_order<Tile, VectorsAlongDepth<Tile, true>>(rows, o);    \
    }                                                                     \
  }                                                                       \
  template <>                                                             \
  void multiply_transposed<Tile>(int64_t rows, const PackedOperands& o) { \
    multiply_in_order<Tile, VectorsOfRows<Tile>>(rows, o);                \
  }

#define CNNEXT_DEFINE_PACKED_INTO(Tile)                                                           \
  template <>                                                                                     \
  void multiply_packed_into<Tile>(int64_t rows, const PackedOperands& o, const ProductPlace& p) { \
    multiply_in_order<Tile, VectorsAlongDepthIntoPlace<Tile>>(rows, o, p);                        \
  }                                                                                               \
  template <>                                                                                     \
  void multiply_transposed_into<Tile>(int64_t rows, const PackedOperands& o,                      \
                                      const ProductPlace& p) {                                    \
    multiply_in_order<Tile, VectorsOfRowsIntoPlace<Tile>>(rows, o, p);                            \
  }

}  // namespace cnnext
