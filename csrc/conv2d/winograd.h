// SPDX-License-Identifier: BSD-3-Clause
// Winograd's minimal filtering F(m x m, r x r), forward and input gradient of convolutions with
// stride 1: of every m x m tile of outputs
//
//   y = A^T [ sum over c of (G w G^T) * (B^T x B) ] A          winograd_transforms.h
//
// so that each of the (m + r - 1)^2 points is a matrix product, [tiles, c] by [c, k], and a 3x3
// convolution takes a quarter of the multiplications with m = 4. What the transforms save in
// arithmetic they must not lose in memory: x transformed is 2.25 times, w four times as large. Two
// forms keep the larger of the two in a core's own cache.
//
// WinogradFused, for many tiles:
//   packing, one task per (panel of Tile::kColumns output channels, chunk of channels):
//     U = G w G^T                                                   -- L2 or L3
//   then one task per block of tiles:
//     V = B^T x B of all channels                                   -- L2
//     for each panel, chunk, point: M += V U                        -- registers, U streams
//     y = A^T M A of the panel
//
// WinogradShared, for few tiles or many channels, rounds over blocks of tiles:
//   phase 0, one task per (group of tiles, chunk of channels): V   -- L3
//   phase 1, one task per (panel, part of the tiles):
//     for each chunk: U = G w G^T                                   -- L2, never written out
//       for each point: M += V U                                    -- registers, V streams
//     y = A^T M A of the panel
//
// A transform of the filter costs as much as the products of half a dozen tiles, which is less than
// to write and read it through L3.
#pragma once

#include "conv2d/winograd_steps.h"

namespace cnnext {
namespace {

template <class Tile, Pass kPass, int Outputs, int Taps>
struct WinogradFused {
  using Steps = WinogradSteps<Tile, kPass, Outputs, Taps>;
  static constexpr bool kPools = kPass == Pass::forward;

  static Plan plan(const Conv2dShape& s, int threads) {
    const Steps steps(s, {});
    const int64_t count = blocks(steps, threads);
    const int64_t tiles = ceil_div(steps.g.tiles(), count);
    Plan plan;
    plan.weights = steps.packed_filter();
    plan.block[0] = count;
    plan.tasks[0] = count;
    plan.chunk_bytes = 4 * (block_floats(steps, tiles) + Steps::work_floats(tiles));
    return plan;
  }

  static void pack(const Conv2dShape& s, const Plan&, const Conv2dOperands<float>& o,
                   const Slice& slice) {
    Steps(s, o).pack_filter(slice);
  }

  static void run(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    const Steps steps(s, o);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const TileBlock b = TileBlock::of(steps.g.tiles(), task, plan.block[0], steps.group_tiles);
      convolve(steps, b, reinterpret_cast<const float*>(slice.packed),
               reinterpret_cast<float*>(slice.chunk));
    }
  }

 private:
  static int64_t block_floats(const Steps& steps, int64_t tiles) {
    return steps.chunks * steps.v_floats(tiles) + steps.m_floats(tiles);
  }

  // Full groups of tiles where V and M fit L2 beside U, and the same number of blocks for every
  // thread.
  static int64_t blocks(const Steps& steps, int threads) {
    constexpr int64_t kMaxGroups = 4;
    int64_t groups = 1;
    while (groups < kMaxGroups &&
           block_floats(steps, (groups + 1) * steps.group_tiles) <= l2_floats(10)) {
      ++groups;
    }
    const int64_t tiles = steps.g.tiles();
    const int64_t count = ceil_div(tiles, groups * steps.group_tiles);
    return min(tiles, count < 8 * threads ? round_up(count, threads) : count);
  }

  static void convolve(const Steps& steps, const TileBlock& b, const float* u, float* scratch) {
    float* const v = scratch;
    float* const m = v + steps.chunks * steps.v_floats(b.tiles);
    float* const rest = m + steps.m_floats(b.tiles);
    for (int64_t chunk = 0; chunk < steps.chunks; ++chunk) {
      for (int64_t i = 0; i < b.groups; ++i) {
        steps.read_tiles(b, i, chunk, v + chunk * steps.v_floats(b.tiles), rest);
      }
    }
    for (int64_t panel = 0; panel < steps.panels; ++panel) {
      for (int64_t chunk = 0; chunk < steps.chunks; ++chunk) {
        steps.multiply(b, 0, b.groups, panel, chunk, v + chunk * steps.v_floats(b.tiles),
                       u + (panel * steps.chunks + chunk) * steps.u_floats(), true, m,
                       steps.m_point(b.tiles));
      }
      steps.write_tiles(b, 0, b.groups, panel, m, steps.m_point(b.tiles), rest);
    }
  }
};

template <class Tile, Pass kPass, int Outputs, int Taps>
struct WinogradShared {
  using Steps = WinogradSteps<Tile, kPass, Outputs, Taps>;
  static constexpr bool kPools = kPass == Pass::forward;
  // The tiles of a round: the filter's transform, repeated in each, stays below 5 % of the
  // products.
  static constexpr int64_t kMaxTiles = 112;
  static constexpr int64_t kMaxFloats = 8 << 20;  // 32 MB of V; 512 channels take a quarter

  static Plan plan(const Conv2dShape& s, int threads) {
    const Steps steps(s, {});
    Plan plan;
    plan.n_phases = 2;
    plan.weights = steps.packed_filter();
    plan.weights.optional = true;
    const int64_t fit =
        kMaxFloats / (Steps::kPoints * steps.g.c) / steps.group_tiles * steps.group_tiles;
    plan.rounds = ceil_div(steps.g.tiles(), max(steps.group_tiles, min(kMaxTiles, fit)));
    const int64_t tiles = ceil_div(steps.g.tiles(), plan.rounds);
    const int64_t groups = ceil_div(tiles, steps.group_tiles);
    const int64_t parts = min(groups, ceil_div(threads, steps.panels));
    plan.block[0] = parts;
    plan.tasks[0] = steps.chunks * groups;
    plan.tasks[1] = steps.panels * parts;
    plan.shared_bytes = 4 * steps.chunks * steps.v_floats(tiles);
    plan.chunk_bytes = 4 * (steps.u_floats() + steps.m_floats(tiles) + Steps::work_floats(tiles));
    return plan;
  }

  static void pack(const Conv2dShape& s, const Plan&, const Conv2dOperands<float>& o,
                   const Slice& slice) {
    Steps(s, o).pack_filter(slice);
  }

  static void run(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    const Steps steps(s, o);
    const TileBlock b = TileBlock::of(steps.g.tiles(), slice.round, plan.rounds, steps.group_tiles);
    float* const v = reinterpret_cast<float*>(slice.shared);
    float* const scratch = reinterpret_cast<float*>(slice.chunk);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (slice.phase == 0) {
        const int64_t chunk = task % steps.chunks, group = task / steps.chunks;
        if (group < b.groups) {
          steps.read_tiles(b, group, chunk, v + chunk * steps.v_floats(b.tiles), scratch);
        }
      } else {
        const int64_t parts = plan.block[0], part = task % parts;
        const int64_t first = b.groups * part / parts, last = b.groups * (part + 1) / parts;
        if (first == last) continue;
        convolve(steps, b, first, last, task / parts, v,
                 reinterpret_cast<const float*>(slice.packed), scratch);
      }
    }
  }

 private:
  static void convolve(const Steps& steps, const TileBlock& b, int64_t first, int64_t last,
                       int64_t panel, const float* v, const float* packed, float* scratch) {
    const int64_t tiles = b.group_first(last) - b.group_first(first);
    float* const own_u = scratch;
    float* const m = own_u + steps.u_floats();
    float* const rest = m + steps.m_floats(tiles);
    for (int64_t chunk = 0; chunk < steps.chunks; ++chunk) {
      const float* u = own_u;
      if (packed != nullptr) {
        u = packed + (panel * steps.chunks + chunk) * steps.u_floats();
      } else {
        steps.transform_filter(panel, chunk, own_u, rest);
      }
      steps.multiply(b, first, last, panel, chunk, v + chunk * steps.v_floats(b.tiles), u,
                     packed != nullptr, m, steps.m_point(tiles));
    }
    steps.write_tiles(b, first, last, panel, m, steps.m_point(tiles), rest);
  }
};

// A form with tiles of 2 x 2 outputs, for filters of 3 x 3 and of 5 x 5.
template <template <class, Pass, int, int> class Form, class Tile, Pass kPass>
struct WinogradTwo {
  static constexpr bool kPools = Form<Tile, kPass, 2, 3>::kPools;

  static Plan plan(const Conv2dShape& s, int threads) {
    return s.k_h == 5 ? Form<Tile, kPass, 2, 5>::plan(s, threads)
                      : Form<Tile, kPass, 2, 3>::plan(s, threads);
  }

  static void pack(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                   const Slice& slice) {
    if (s.k_h == 5) {
      Form<Tile, kPass, 2, 5>::pack(s, plan, o, slice);
    } else {
      Form<Tile, kPass, 2, 3>::pack(s, plan, o, slice);
    }
  }

  static void run(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    if (s.k_h == 5) {
      Form<Tile, kPass, 2, 5>::run(s, plan, o, slice);
    } else {
      Form<Tile, kPass, 2, 3>::run(s, plan, o, slice);
    }
  }
};

}  // namespace
}  // namespace cnnext
