// SPDX-License-Identifier: BSD-3-Clause
// The forward pass of a recurrence, in several ways to share it out:
//
//   by sequences  A task has some sequences from the first step to the last, and packs all weights
//                 for itself. Nothing waits for anything, and weights of a usual size stay in the
//                 core's own caches.
//   by units      A task has some units of all sequences, and a round is a step. The weights are
//                 packed once, and each core keeps those of its units. For few sequences, and for
//                 weights that are too many for a core.
//   hoisted       By units, with the products of x for several steps at once, so that w_ih has to
//                 come to the core only once for all of them.
//   by dots       By units, without packing (gemm/dot.h): for a single step of few sequences.
//
// In all of them the work is done in tiles, a few sequences x a block of units with all their
// sums: the products run into a tile that stays in L1, and from there through the gates.
#pragma once

#include "gemm/block.h"
#include "recurrence/steps.h"
#include "recurrence/weights.h"

namespace cnnext {
namespace {

// Products of x that were computed for several steps at once, kXSums x hidden for each row from
// `first_row` on; null if they were not.
struct HoistedProducts {
  const float* z;
  int64_t first_row;
};

// A step of sequences [first, last) and one block of units.
template <class Cell, class Tile, class Weights>
struct ForwardStep {
  using Block = UnitBlock<Cell, Tile>;
  static constexpr int N = Tile::kLanes;

  static void run(const RecurrenceShape& s, const RecurrenceOperands<float>& o, const Step& step,
                  int64_t first, int64_t last, int64_t block, const Weights& weights,
                  const HoistedProducts& hoisted = {}) {
    last = min(last, step.count);
    for (int64_t i = first, rows; i < last; i += rows) {
      const bool starts = i >= step.continuing;
      rows = min(Block::kRows, (starts ? last : min(last, step.continuing)) - i);
      const float* const h = starts ? o.h0 + i * s.hidden : o.y + (step.before_row + i) * s.hidden;
      tile(s, o, step, i, rows, starts, h, block, weights, hoisted);
    }
  }

 private:
  static void tile(const RecurrenceShape& s, const RecurrenceOperands<float>& o, const Step& step,
                   int64_t i, int64_t rows, bool starts, const float* h, int64_t block,
                   const Weights& weights, const HoistedProducts& hoisted) {
    alignas(64) float sums[Block::kRows * Block::kColumns];
    for (int64_t r = 0; r < rows; ++r) {
      copy(sums + r * Block::kColumns, weights.biases(), Block::kColumns);
    }
    const int64_t first_unit = block * Block::kUnits, units = Block::units(s, block);
    if (hoisted.z == nullptr) weights.add_product_of_x(rows, o.x + (step.row + i) * s.input, sums);
    weights.add_product_of_h(rows, h, sums);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t unit = 0; unit < units; unit += N) {
        const Units<N> at{{s.hidden, step.row + i + r, i + r, first_unit + unit, starts,
                           h + r * s.hidden + first_unit + unit},
                          min(N, units - unit)};
        const auto sum = [&](int k) {
          const f32<N> z = load<N>(sums + r * Block::kColumns + k * Block::kUnits + unit);
          if (hoisted.z == nullptr || k >= Cell::kXSums) return z;
          const int64_t line = (at.row - hoisted.first_row) * Cell::kXSums + k;
          return z + at.read(hoisted.z, line * s.hidden + at.unit);
        };
        Cell::forward(o, at, sum);
      }
    }
  }
};

template <class Tile>
struct ForwardBySequences {
  static constexpr int64_t kTaskRows = Tile::panel_rows(Tile::kColumns);

  static Plan plan(const RecurrenceShape& s, int) {
    return with_cell(s.cell, [&](auto cell) {
      using Weights = PackedWeights<decltype(cell), Tile>;
      Plan plan;
      plan.tasks[0] = ceil_div(s.batch, kTaskRows);
      plan.chunk_bytes = Weights::Block::count(s) * Weights::floats(s) * sizeof(float);
      return plan;
    });
  }

  static void run(const RecurrenceShape& s, const Plan&, const RecurrenceOperands<float>& o,
                  const Slice& slice) {
    with_cell(s.cell, [&](auto cell) {
      using Cell = decltype(cell);
      using Weights = PackedWeights<Cell, Tile>;
      float* const packed = reinterpret_cast<float*>(slice.chunk);
      const int64_t blocks = Weights::Block::count(s), floats = Weights::floats(s);
      for (int64_t block = 0; block < blocks; ++block) {
        Weights::pack(s, o, block, packed + block * floats);
      }
      for (int64_t position = 0; position < s.steps; ++position) {
        const Step step = step_at(s, o, Pass::forward, position);
        for (int64_t block = 0; block < blocks; ++block) {
          ForwardStep<Cell, Tile, Weights>::run(s, o, step, slice.begin * kTaskRows,
                                                slice.end * kTaskRows, block,
                                                Weights(s, o, block, packed + block * floats));
        }
      }
    });
  }
};

// Blocks of units in turns from first to last and from last to first: the weights that were used
// last are the ones still in the caches.
CNNEXT_INLINE int64_t serpentine(const Slice& slice, int64_t i) {
  return slice.round % 2 == 0 ? i : slice.begin + slice.end - 1 - i;
}

template <class Tile>
struct ForwardByUnits {
  static Plan plan(const RecurrenceShape& s, int) {
    return with_cell(s.cell, [&](auto cell) {
      using Weights = PackedWeights<decltype(cell), Tile>;
      Plan plan;
      plan.rounds = s.steps;
      plan.tasks[0] = Weights::Block::count(s);
      const int64_t bytes = Weights::floats(s) * static_cast<int64_t>(sizeof(float));
      (s.steps > 1 ? plan.shared_bytes : plan.chunk_bytes) =
          s.steps > 1 ? plan.tasks[0] * bytes : bytes;
      return plan;
    });
  }

  static void run(const RecurrenceShape& s, const Plan&, const RecurrenceOperands<float>& o,
                  const Slice& slice) {
    with_cell(s.cell, [&](auto cell) {
      using Cell = decltype(cell);
      using Weights = PackedWeights<Cell, Tile>;
      const Step step = step_at(s, o, Pass::forward, slice.round);
      for (int64_t i = slice.begin; i < slice.end; ++i) {
        const int64_t block = serpentine(slice, i);
        float* const packed =
            s.steps > 1 ? reinterpret_cast<float*>(slice.shared) + block * Weights::floats(s)
                        : reinterpret_cast<float*>(slice.chunk);
        if (slice.round == 0) Weights::pack(s, o, block, packed);
        ForwardStep<Cell, Tile, Weights>::run(s, o, step, 0, s.batch, block,
                                              Weights(s, o, block, packed));
      }
    });
  }
};

template <class Tile>
struct ForwardHoisted {
  static constexpr int64_t kHoistedRows = 256;  // enough for w_ih to be read once for many products

  static Plan plan(const RecurrenceShape& s, int) {
    return with_cell(s.cell, [&](auto cell) {
      using Weights = PackedWeights<decltype(cell), Tile>;
      Plan plan;
      plan.rounds = s.steps;
      plan.tasks[0] = Weights::Block::count(s);
      plan.shared_bytes = (plan.tasks[0] * Weights::floats(only_state(s)) +
                           hoisted_steps(s) * s.batch * decltype(cell)::kXSums * s.hidden) *
                          sizeof(float);
      plan.chunk_bytes = BlockedProduct<Tile>::scratch_bytes();
      return plan;
    });
  }

  static void run(const RecurrenceShape& s, const Plan& plan, const RecurrenceOperands<float>& o,
                  const Slice& slice) {
    with_cell(s.cell, [&](auto cell) {
      using Cell = decltype(cell);
      using Weights = PackedWeights<Cell, Tile>;
      const RecurrenceShape of_state = only_state(s);
      const int64_t floats = Weights::floats(of_state);
      float* const shared = reinterpret_cast<float*>(slice.shared);
      float* const z = shared + plan.tasks[0] * floats;
      if (slice.round == 0) {
        for (int64_t block = slice.begin; block < slice.end; ++block) {
          Weights::pack(of_state, o, block, shared + block * floats);
        }
      }
      // The steps of a group follow each other in memory, whichever way the walk goes.
      const int64_t first = slice.round / hoisted_steps(s) * hoisted_steps(s);
      const Step a = step_at(s, o, Pass::forward, first);
      const Step b = step_at(s, o, Pass::forward, min(s.steps, first + hoisted_steps(s)) - 1);
      const int64_t first_row = min(a.row, b.row);
      if (slice.round == first && s.input > 0) {
        const int64_t rows = max(a.row + a.count, b.row + b.count) - first_row;
        const int64_t unit = slice.begin * Weights::Block::kUnits;
        const int64_t units = min(s.hidden, slice.end * Weights::Block::kUnits) - unit;
        multiply_x<Cell>(s, o, first_row, rows, unit, units, z,
                         reinterpret_cast<float*>(slice.chunk));
      }
      const HoistedProducts hoisted{s.input > 0 ? z : nullptr, first_row};
      const Step step = step_at(s, o, Pass::forward, slice.round);
      for (int64_t i = slice.begin; i < slice.end; ++i) {
        const int64_t block = serpentine(slice, i);
        ForwardStep<Cell, Tile, Weights>::run(of_state, o, step, 0, s.batch, block,
                                              Weights(of_state, o, block, shared + block * floats),
                                              hoisted);
      }
    });
  }

 private:
  static int64_t hoisted_steps(const RecurrenceShape& s) {
    return min(s.steps, ceil_div(kHoistedRows, s.batch));
  }

  static RecurrenceShape only_state(RecurrenceShape s) {
    s.input = 0;
    return s;
  }

  // Some units of all sums.
  template <class Cell>
  static void multiply_x(const RecurrenceShape& s, const RecurrenceOperands<float>& o,
                         int64_t first_row, int64_t rows, int64_t unit, int64_t units, float* z,
                         float* scratch) {
    using Product = BlockedProduct<Tile>;
    for (int i = 0; i < Cell::kXSums; ++i) {
      MatrixProduct p{};
      p.m = rows;
      p.n = units;
      p.k = p.a_row = p.b_column = s.input;
      p.a = o.x + first_row * s.input;
      p.b = o.w_ih + (Cell::x_gate(i) * s.hidden + unit) * s.input;
      p.a_k = p.b_k = 1;
      p.c = z + i * s.hidden + unit;
      p.c_row = Cell::kXSums * s.hidden;
      const auto blocking = Product::blocking(p.m, p.n, 1, 1);
      for (int64_t task = 0; task < blocking.tasks(); ++task) {
        Product::run_task(p, blocking, task, scratch);
      }
    }
  }
};

template <class Tile>
struct ForwardByDots {
  static Plan plan(const RecurrenceShape& s, int) {
    return with_cell(s.cell, [&](auto cell) {
      Plan plan;
      plan.rounds = s.steps;
      plan.tasks[0] = UnitBlock<decltype(cell), Tile>::count(s);
      return plan;
    });
  }

  static void run(const RecurrenceShape& s, const Plan&, const RecurrenceOperands<float>& o,
                  const Slice& slice) {
    with_cell(s.cell, [&](auto cell) {
      using Cell = decltype(cell);
      using Weights = WeightsInPlace<Cell, Tile>;
      const Step step = step_at(s, o, Pass::forward, slice.round);
      for (int64_t block = slice.begin; block < slice.end; ++block) {
        ForwardStep<Cell, Tile, Weights>::run(s, o, step, 0, s.batch, block,
                                              Weights(s, o, block, nullptr));
      }
    });
  }
};

}  // namespace
}  // namespace cnnext
