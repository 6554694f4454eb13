// SPDX-License-Identifier: BSD-3-Clause
// lstm_cell in two phases: the two matrix products into `gates`, then everything pointwise, in
// place. The products come in two forms: blocked (gemm/block.h), or as dot products for batches too
// small to be worth packing the weights (gemm/dot.h).
#pragma once

#include "common/simd/math.h"
#include "gemm/block.h"
#include "gemm/dot.h"
#include "lstm_cell/lstm_cell.h"

namespace cnnext {
namespace {

template <class Tile>
struct BlockedGates {
  using Product = BlockedProduct<Tile>;
  static constexpr int64_t kScratchBytes = Product::kScratchBytes;

  static int64_t tasks(const LSTMCellShape& s, int threads) { return blocking(s, threads).tasks(); }

  static void run(const LSTMCellShape& s, const LSTMCellOperands<float>& o, int threads,
                  int64_t task, float* scratch) {
    MatrixProduct p{};
    p.m = s.batch;
    p.n = 4 * s.hidden;
    p.a_k = p.b_k = 1;
    p.c = o.gates;
    p.c_row = p.n;
    p.k = p.a_row = p.b_column = s.hidden;
    p.a = o.h;
    p.b = o.w_hh;
    p.column_bias = o.b_hh;
    const auto b = blocking(s, threads);
    Product::run_task(p, b, task, scratch);
    p.k = p.a_row = p.b_column = s.input;
    p.a = o.x;
    p.b = o.w_ih;
    p.column_bias = nullptr;
    p.accumulate = true;
    Product::run_task(p, b, task, scratch);
  }

 private:
  static typename Product::Blocking blocking(const LSTMCellShape& s, int threads) {
    return Product::blocking(s.batch, 4 * s.hidden, 1, threads);
  }
};

template <int N>
struct DotGates {
  static constexpr int64_t kScratchBytes = 0;
  static constexpr int64_t kColumnsPerTask = 16;

  static int64_t tasks(const LSTMCellShape& s, int) {
    return ceil_div(4 * s.hidden, kColumnsPerTask);
  }

  static void run(const LSTMCellShape& s, const LSTMCellOperands<float>& o, int, int64_t task,
                  float*) {
    const int64_t j0 = task * kColumnsPerTask, n = 4 * s.hidden;
    const int64_t j1 = min(n, j0 + kColumnsPerTask);
    DotOperands p{s.batch, s.hidden, o.h, s.hidden, o.w_hh, s.hidden, o.b_hh, o.gates, n, false};
    DotProducts<N>::run(p, j0, j1);
    p.k = p.a_row = p.b_row = s.input;
    p.a = o.x;
    p.b = o.w_ih;
    p.accumulate = true;
    DotProducts<N>::run(p, j0, j1);
  }
};

// Units [unit, unit + count) of one row; count < N only at the end of the row.
template <int N>
CNNEXT_INLINE void apply_gates(const LSTMCellShape& s, const LSTMCellOperands<float>& o,
                               int64_t row, int64_t unit, int64_t count) {
  float* const gates = o.gates + row * 4 * s.hidden + unit;
  f32<N> gate[4];
  for (int q = 0; q < 4; ++q) {
    f32<N> z = load_partial<N>(gates + q * s.hidden, count);
    if (o.b_ih != nullptr) z += load_partial<N>(o.b_ih + q * s.hidden + unit, count);
    gate[q] = q == 2 ? tanh<N>(z) : sigmoid<N>(z);
    store_partial<N>(gates + q * s.hidden, gate[q], count);
  }
  const int64_t at = row * s.hidden + unit;
  const f32<N> c = gate[1] * load_partial<N>(o.c + at, count) + gate[0] * gate[2];
  store_partial<N>(o.c_next + at, c, count);
  store_partial<N>(o.h_next + at, gate[3] * tanh<N>(c), count);
}

template <int N, class Gates>
struct LSTMCellForward {
  static Plan plan(const LSTMCellShape& s, int threads) {
    Plan plan;
    plan.n_phases = 2;
    plan.block[0] = threads;
    plan.tasks[0] = Gates::tasks(s, threads);
    plan.tasks[1] = s.batch;
    plan.chunk_bytes = Gates::kScratchBytes;
    return plan;
  }

  static void run(const LSTMCellShape& s, const Plan& plan, const LSTMCellOperands<float>& o,
                  const Slice& slice) {
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (slice.phase == 0) {
        Gates::run(s, o, static_cast<int>(plan.block[0]), task,
                   reinterpret_cast<float*>(slice.chunk));
      } else {
        for (int64_t unit = 0; unit < s.hidden; unit += N) {
          apply_gates<N>(s, o, task, unit, min(N, s.hidden - unit));
        }
      }
    }
  }
};

template <int N>
struct LSTMCellBackward {
  static Plan plan(const LSTMCellShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.batch;
    return plan;
  }

  static void run(const LSTMCellShape& s, const Plan&, const LSTMCellOperands<float>& o,
                  const Slice& slice) {
    for (int64_t row = slice.begin; row < slice.end; ++row) {
      for (int64_t unit = 0; unit < s.hidden; unit += N) {
        units(s, o, row, unit, min(N, s.hidden - unit));
      }
    }
  }

 private:
  static void units(const LSTMCellShape& s, const LSTMCellOperands<float>& o, int64_t row,
                    int64_t unit, int64_t count) {
    const int64_t at = row * s.hidden + unit;
    const float* const gates = o.gates + row * 4 * s.hidden + unit;
    float* const dz = o.dz + row * 4 * s.hidden + unit;
    const f32<N> i = load_partial<N>(gates, count);
    const f32<N> f = load_partial<N>(gates + s.hidden, count);
    const f32<N> g = load_partial<N>(gates + 2 * s.hidden, count);
    const f32<N> out = load_partial<N>(gates + 3 * s.hidden, count);
    const f32<N> c = load_partial<N>(o.c + at, count);
    const f32<N> tanh_c = tanh<N>(f * c + i * g);
    f32<N> dh{}, dc{};
    if (o.dh_next != nullptr) dh = load_partial<N>(o.dh_next + at, count);
    if (o.dc_next != nullptr) dc = load_partial<N>(o.dc_next + at, count);
    dc += dh * out * (1.0f - tanh_c * tanh_c);
    store_partial<N>(dz, dc * g * i * (1.0f - i), count);
    store_partial<N>(dz + s.hidden, dc * c * f * (1.0f - f), count);
    store_partial<N>(dz + 2 * s.hidden, dc * i * (1.0f - g * g), count);
    store_partial<N>(dz + 3 * s.hidden, dh * tanh_c * out * (1.0f - out), count);
    store_partial<N>(o.dc + at, dc * f, count);
  }
};

}  // namespace
}  // namespace cnnext
