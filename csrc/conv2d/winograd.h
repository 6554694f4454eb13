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
//   packing, one task per (panel of Tile::kColumns output channels, chunk of channels, vectors of
//   both):
//     U = G w G^T                                                   -- L2 or L3
//   then one task per block of tiles:
//     V = B^T x B of all channels                                   -- L2
//     for each panel, chunk, point: M += V U                        -- registers, U streams
//     y = A^T M A of the panel
//
// WinogradShared, for few tiles or many channels, rounds over blocks of tiles:
//   phase 0, one task per (group of tiles, chunk of channels, part of both): V   -- L3
//   phase 1, one task per (panel or vector of one, part of the tiles):
//     for each chunk: U = G w G^T                                   -- L2, never written out
//       for each point: M += V U                                    -- registers, V streams
//     y = A^T M A of the panel
//
// A transform of the filter costs as much as the products of half a dozen tiles, which is less than
// to write and read it through L3.
#pragma once

#include <limits>

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
        steps.multiply(
            b, 0, b.groups, steps.columns(panel), chunk, v + chunk * steps.v_floats(b.tiles),
            u + (panel * steps.chunks + chunk) * steps.u_floats(), true, m, steps.m_point(b.tiles));
      }
      steps.write_tiles(b, 0, b.groups, steps.columns(panel), m, steps.m_point(b.tiles), rest);
    }
  }
};

template <class Tile, Pass kPass, int Outputs, int Taps>
struct WinogradShared {
  using Steps = WinogradSteps<Tile, kPass, Outputs, Taps>;
  static constexpr bool kPools = kPass == Pass::forward;
  // The tiles of a round for few threads: the filter's transform, repeated in each, stays below 5 %
  // of the products. More threads take more of them.
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
    const int64_t max_tiles = kMaxTiles * max(1, threads / kFewThreads);
    plan.rounds = ceil_div(steps.g.tiles(), max(steps.group_tiles, min(max_tiles, fit)));
    const int64_t tiles = ceil_div(steps.g.tiles(), plan.rounds);
    const int64_t groups = ceil_div(tiles, steps.group_tiles);
    const Sharing sharing = share(steps, groups, threads);
    plan.block[0] = sharing.tile_parts;
    plan.block[1] = sharing.columns;
    plan.block[2] = even_parts(steps.chunks * groups, steps.chunk_vectors(), threads);
    plan.tasks[0] = steps.chunks * groups * plan.block[2];
    plan.block[3] = plan.block[2] < steps.chunk_vectors()
                        ? 1
                        : even_parts(plan.tasks[0], steps.group_tiles, threads);
    plan.tasks[0] *= plan.block[3];
    plan.tasks[1] = sharing.tasks(steps);
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
        const Part of_tiles{task % plan.block[3], plan.block[3]};
        const int64_t index = task / plan.block[3] / plan.block[2];
        const Part of_vectors{task / plan.block[3] % plan.block[2], plan.block[2]};
        const int64_t chunk = index % steps.chunks, group = index / steps.chunks;
        if (group < b.groups) {
          steps.read_tiles(b, group, chunk, v + chunk * steps.v_floats(b.tiles), scratch,
                           of_vectors, of_tiles);
        }
      } else {
        const Part part{task % plan.block[0], plan.block[0]};
        const int64_t first = part.first(b.groups), last = part.last(b.groups);
        if (first == last) continue;
        const int64_t k = task / part.count * plan.block[1], j = k % Steps::kColumns;
        convolve(steps, b, first, last, {k / Steps::kColumns, j, min(plan.block[1], steps.g.k - k)},
                 v, reinterpret_cast<const float*>(slice.packed), scratch);
      }
    }
  }

 private:
  // How the second phase is shared out: columns of a task, and parts of the groups of tiles.
  struct Sharing {
    int64_t columns, tile_parts;

    int64_t tasks(const Steps& steps) const { return ceil_div(steps.g.k, columns) * tile_parts; }
  };

  // Each part transforms the filter by itself.
  static Sharing share(const Steps& steps, int64_t groups, int threads) {
    constexpr int64_t kTransformTiles = 6;  // cost as much as to transform the filter
    Sharing best{Steps::kColumns, min(groups, ceil_div(threads, steps.panels))};
    if (!are_uneven(best.tasks(steps), threads)) return best;
    int64_t min_work = std::numeric_limits<int64_t>::max();
    for (int64_t columns = Steps::kColumns; columns >= Steps::N; columns -= Steps::N) {
      if (Steps::kColumns % columns != 0) continue;
      for (int64_t parts = 1; parts <= groups; ++parts) {
        const Sharing sharing{columns, parts};
        const int64_t work = ceil_div(sharing.tasks(steps), threads) * columns *
                             (ceil_div(groups, parts) * steps.group_tiles + kTransformTiles);
        if (work < min_work) {
          min_work = work;
          best = sharing;
        }
      }
    }
    return best;
  }

  static void convolve(const Steps& steps, const TileBlock& b, int64_t first, int64_t last,
                       const typename Steps::Columns& some, const float* v, const float* packed,
                       float* scratch) {
    const int64_t tiles = b.group_first(last) - b.group_first(first);
    float* const own_u = scratch;
    float* const m = own_u + steps.u_floats();
    float* const rest = m + steps.m_floats(tiles);
    for (int64_t chunk = 0; chunk < steps.chunks; ++chunk) {
      const float* u = own_u;
      if (packed != nullptr) {
        u = packed + (some.panel * steps.chunks + chunk) * steps.u_floats();
      } else {
        steps.transform_filter(some, chunk, 0, steps.channels(chunk), own_u, rest);
      }
      steps.multiply(b, first, last, some, chunk, v + chunk * steps.v_floats(b.tiles), u,
                     packed != nullptr, m, steps.m_point(tiles));
    }
    steps.write_tiles(b, first, last, some, m, steps.m_point(tiles), rest);
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
