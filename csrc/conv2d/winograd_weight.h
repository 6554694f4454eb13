// SPDX-License-Identifier: BSD-3-Clause
// Winograd's minimal filtering, weight gradient: the transpose of the forward pass in the filter,
//
//   dw = G^T [ sum over tiles of (A dy A^T) * (B^T x B) ] G
//
// where each of the (m + r - 1)^2 points is a matrix product whose reduction runs over tiles.
//
//   rounds over blocks of tiles:
//     phase 0, one task per (group of tiles, part of the channels of both):
//       V = B^T x B, P = A dy A^T                                           -- L3
//     phase 1, one task per (point, panel of Tile::kColumns output channels, part of c):
//       dU[c, k] += sum over the block's tiles of V[t, c] P[t, k]           -- registers
//   phase 2, after the last round, one task per (panel, part of c): dw = G^T dU G
//
// All tasks of a point follow each other, so that its V stays in L2 while the panels pass. Sums
// leave the registers after a chain of tiles, which bounds the rounding error; no two tasks
// share a sum, so equal calls give equal bits whatever the number of threads.
//
// An Inf or NaN spreads to all taps of its channel's gradients; those are added up again in order.
#pragma once

#include "conv2d/filter.h"
#include "conv2d/winograd_steps.h"

namespace cnnext {
namespace {

template <class Tile, int Outputs, int Taps>
struct WinogradBackwardWeight {
  using Tiles = WinogradTiles<Tile, Outputs, Taps>;
  using Math = typename Tiles::Math;
  static constexpr int N = Tile::kLanes, kSide = Tiles::kSide, kPoints = Tiles::kPoints;
  static constexpr int64_t kColumns = Tile::kColumns;
  static constexpr int64_t kRoundFloats = 4 << 20;               // 16 MB of V and P
  static constexpr int64_t kMinChannels = 4, kMaxChannels = 64;  // of a task of the last phase

  static Plan plan(const Conv2dShape& s, int threads) {
    const Sizes z(winograd_shape(s, Pass::forward, Outputs, {}));
    Plan plan;
    plan.n_phases = 3;
    plan.rounds = z.rounds;
    const int64_t groups = ceil_div(z.tiles, Tile::kMaxRows);
    plan.block[0] = even_parts(groups, z.c_vectors() + z.k_vectors(), threads);
    plan.block[1] = even_parts(kPoints * z.panels, ceil_div(z.g.c, Tile::kMaxRows), threads);
    plan.block[2] =
        even_parts(z.panels, ceil_div(z.g.c, kMinChannels), threads, ceil_div(z.g.c, kMaxChannels));
    plan.tasks[0] = groups * plan.block[0];
    plan.tasks[1] = kPoints * z.panels * plan.block[1];
    plan.tasks[2] = z.panels * plan.block[2];
    plan.shared_bytes = 4 * (z.v_floats() + z.p_floats() + z.u_floats());
    plan.chunk_bytes = 4 * max(max(Tiles::kBandFloats, z.g.c * kColumns),
                               kFilterFloats + FilterPanel<Tile>::scratch_floats(kTaps));
    return plan;
  }

  static void run(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    const Sizes z(winograd_shape(s, Pass::forward, Outputs, o));
    const TileBlock b = TileBlock::of(z.g.tiles(), slice.round, z.rounds, Tile::kMaxRows);
    float* const v = reinterpret_cast<float*>(slice.shared);
    float* const p = v + z.v_floats();
    float* const u = p + z.p_floats();
    float* const scratch = reinterpret_cast<float*>(slice.chunk);
    const int64_t parts = plan.block[slice.phase];
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const Part part{task % parts, parts};
      const int64_t index = task / parts;
      if (slice.phase == 0) {
        if (index < b.groups) read_tiles(z, b, index, part, o, v, p, scratch);
      } else if (slice.phase == 1) {
        multiply(z, b, index / z.panels, index % z.panels, part, slice.round, v, p, u, scratch);
      } else if (slice.round == z.rounds - 1) {
        write(z, index, part, o, u, scratch);
      }
    }
  }

 private:
  static constexpr int64_t kTaps = Taps * Taps;
  static constexpr int64_t kFilterFloats = kTaps * kMaxChannels * kColumns;

  struct Sizes {
    WinogradShape g;
    int64_t rounds, tiles;  // tiles of the largest round
    int64_t panels;

    explicit Sizes(const WinogradShape& shape) : g(shape) {
      panels = ceil_div(g.k, kColumns);
      const int64_t fit = kRoundFloats / (kPoints * (g.c + g.k));
      rounds = ceil_div(g.tiles(), max(1, fit / kTransposedChain) * kTransposedChain);
      tiles = ceil_div(g.tiles(), rounds);
    }
    int64_t c_vectors() const { return ceil_div(g.c, N); }
    int64_t k_vectors() const { return ceil_div(g.k, N); }
    int64_t v_tile() const { return pad_against_aliasing(g.c); }
    int64_t v_point() const { return pad_against_aliasing(tiles * v_tile()); }
    int64_t v_floats() const { return kPoints * v_point(); }
    int64_t p_panel() const { return tiles * kColumns; }
    int64_t p_point() const { return pad_against_aliasing(panels * p_panel()); }
    int64_t p_floats() const { return kPoints * p_point(); }
    int64_t u_point() const { return pad_against_aliasing(g.c * kColumns); }
    int64_t u_floats() const { return panels * kPoints * u_point(); }
  };

  // The part is of the vectors of channels, those of x before those of dy.
  static void read_tiles(const Sizes& z, const TileBlock& b, int64_t group, const Part& part,
                         const Conv2dOperands<float>& o, float* v, float* p, float* scratch) {
    const int64_t first = b.group_first(group), count = b.group_first(group + 1) - first;
    const int64_t x_vectors = z.c_vectors(), vectors = x_vectors + z.k_vectors();
    const int64_t c = part.first(vectors) * N, c_end = min(z.g.c, part.last(vectors) * N);
    if (c < c_end) {
      Tiles::read(z.g, o.second, {}, b.first + first, count, c, c_end - c,
                  {v + first * z.v_tile() + c, z.v_point(), N, z.v_tile()}, scratch);
    }
    int64_t k = max(0, part.first(vectors) - x_vectors) * N;
    const int64_t k_end = min(z.g.k, (part.last(vectors) - x_vectors) * N);
    for (int64_t columns; k < k_end; k += columns) {
      columns = min(kColumns - k % kColumns, k_end - k);
      float* const panel = p + k / kColumns * z.p_panel() + k % kColumns;
      Tiles::read_gradient(z.g, o.first, b.first + first, count, k, columns,
                           {panel + first * kColumns, z.p_point(), N, kColumns}, scratch);
    }
  }

  // The sums of a round are added up by themselves, and then to those before: two short chains of
  // additions instead of a long one.
  static void multiply(const Sizes& z, const TileBlock& b, int64_t point, int64_t panel,
                       const Part& part, int64_t round, const float* v, const float* p, float* u,
                       float* scratch) {
    const float* const input = v + point * z.v_point();
    const float* const gradient = p + point * z.p_point() + panel * z.p_panel();
    float* const total = u + (panel * kPoints + point) * z.u_point();
    float* const sums = round == 0 ? total : scratch;
    const int64_t columns = min(kColumns, z.g.k - panel * kColumns);
    const int64_t groups = ceil_div(z.g.c, Tile::panel_rows(columns));
    const int64_t first = part.first(groups), last = part.last(groups);
    for (int64_t i = first; i < last; ++i) {
      const int64_t c = z.g.c * i / groups, rows = z.g.c * (i + 1) / groups - c;
      PackedOperands operands;
      operands.a = input + c;
      operands.a_step = z.v_tile();
      operands.b = gradient;
      operands.depth = b.tiles;
      operands.init = nullptr;
      operands.c = sums + c * kColumns;
      operands.columns = columns;
      multiply_transposed<Tile>(rows, operands);
    }
    if (sums == total) return;
    for (int64_t i = z.g.c * first / groups; i < z.g.c * last / groups; ++i) {
      for (int64_t j = 0; j < columns; j += N) {
        float* const at = total + i * kColumns + j;
        store<N>(at, load<N>(at) + load<N>(sums + i * kColumns + j));
      }
    }
  }

  // dw of a panel and a part of its channels.
  static void write(const Sizes& z, int64_t panel, const Part& part, const Conv2dOperands<float>& o,
                    const float* u, float* scratch) {
    const int64_t c0 = part.first(z.g.c), count = part.last(z.g.c) - c0;
    const int64_t columns = min(kColumns, z.g.k - panel * kColumns);
    const float* const sums = u + panel * kPoints * z.u_point() + c0 * kColumns;
    for (int64_t c = 0; c < count; ++c) {
      for (int64_t j = 0; j < columns; j += N) {
        f32<N> probe{};  // becomes NaN with the first element that is not finite
        f32<N> half[kSide][Taps];
        for (int i = 0; i < kSide; ++i) {
          f32<N> row[kSide];
          for (int r = 0; r < kSide; ++r) {
            row[r] = load<N>(sums + (i * kSide + r) * z.u_point() + c * kColumns + j);
          }
          Math::template filter_transposed<N>(row, half[i]);
        }
        for (int s = 0; s < Taps; ++s) {
          f32<N> column[kSide], taps[Taps];
          for (int i = 0; i < kSide; ++i) column[i] = half[i][s];
          Math::template filter_transposed<N>(column, taps);
          for (int r = 0; r < Taps; ++r) {
            probe += taps[r] * 0.0f;
            store<N>(scratch + ((r * Taps + s) * count + c) * kColumns + j, taps[r]);
          }
        }
        if (!any_nan<N>(probe)) continue;
        for (int64_t lane = j; lane < min(j + N, columns); ++lane) {
          for (int64_t tap = 0; tap < kTaps; ++tap) {
            float& dw = scratch[(tap * count + c) * kColumns + lane];
            if (is_finite(dw)) continue;
            dw = plain_sum(z.g, o, panel * kColumns + lane, c0 + c, tap / Taps, tap % Taps);
          }
        }
      }
    }
    const FilterTaps taps{Taps, Taps, 0, 0, z.g.w_h, z.g.w_w};
    const FilterPanel<Tile> packed{taps, count, columns, z.g.w_c, z.g.w_k};
    packed.unpack(scratch, o.result + panel * kColumns * z.g.w_k + c0 * z.g.w_c, 0, count,
                  scratch + kFilterFloats);
  }

  // One element by the formula of the contract. A sum that is NaN stays so.
  static float plain_sum(const WinogradShape& g, const Conv2dOperands<float>& o, int64_t k,
                         int64_t c, int64_t r, int64_t s) {
    const bool nchw = g.layout == Layout::nchw;
    const int64_t in = g.h_in * g.w_in, out = g.h_out * g.w_out;
    const int64_t x_pixel = nchw ? 1 : g.c, y_pixel = nchw ? 1 : g.k;
    const int64_t first = max(0, g.pad_w - s), last = min(g.w_out, g.w_in + g.pad_w - s);
    float sum = 0;
    for (int64_t image = 0; image < g.images; ++image) {
      const float* const x = o.second + image * g.c * in + c * (nchw ? in : 1);
      const float* const dy = o.first + image * g.k * out + k * (nchw ? out : 1);
      for (int64_t i = 0; i < g.h_out && sum == sum; ++i) {
        const int64_t h = i + r - g.pad_h;
        if (h < 0 || h >= g.h_in) continue;
        for (int64_t j = first; j < last; ++j) {
          sum += dy[(i * g.w_out + j) * y_pixel] * x[(h * g.w_in + j + s - g.pad_w) * x_pixel];
        }
      }
    }
    return sum;
  }
};

}  // namespace
}  // namespace cnnext
