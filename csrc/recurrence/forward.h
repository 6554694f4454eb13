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
// sums: the products run into a tile that stays in L1, and from there through the gates. The first
// three take weights that were packed ahead, of one order for all; without, whoever uses them first
// packs them.
#pragma once

#include "recurrence/steps.h"
#include "recurrence/weights.h"

namespace cnnext {
namespace {

// Biases and products of x that were computed for several steps at once: for each row from
// `first_row` on, kXColumns of each block of units. Null if they were not.
struct HoistedProducts {
  const float* z;
  int64_t z_row;
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
      if (hoisted.z != nullptr) {
        const int64_t row = step.row + i + r - hoisted.first_row;
        copy(sums + r * Block::kColumns, hoisted.z + row * hoisted.z_row + block * Block::kXColumns,
             Block::kXColumns);
      }
    }
    const int64_t first_unit = block * Block::kUnits, units = Block::units(s, block);
    if (hoisted.z == nullptr) weights.add_product_of_x(rows, o.x + (step.row + i) * s.input, sums);
    weights.add_product_of_h(rows, h, sums);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t unit = 0; unit < units; unit += N) {
        const Units<N> at{{s.hidden, step.row + i + r, i + r, first_unit + unit, starts,
                           h + r * s.hidden + first_unit + unit},
                          min(N, units - unit)};
        Cell::forward(o, at, [&](int k) {
          return load<N>(sums + r * Block::kColumns + k * Block::kUnits + unit);
        });
      }
    }
  }
};

// What the forms have in common that take packed weights.
template <class Tile>
struct ForwardPacked {
  template <class Cell>
  using Weights = PackedWeights<Cell, Tile>;

  static void pack(const RecurrenceShape& s, const Plan&, const RecurrenceOperands<float>& o,
                   const Slice& slice) {
    with_cell(s.cell, [&](auto cell) {
      pack_blocks<decltype(cell)>(s, o, slice.begin, slice.end,
                                  reinterpret_cast<float*>(slice.packed));
    });
  }

 protected:
  // Blocks [first, last), each to its place among all.
  template <class Cell>
  static void pack_blocks(const RecurrenceShape& s, const RecurrenceOperands<float>& o,
                          int64_t first, int64_t last, float* packed) {
    const int64_t floats = Weights<Cell>::floats(s);
    for (int64_t block = first; block < last; ++block) {
      Weights<Cell>::pack(s, o, block, packed + block * floats);
    }
  }

  // Those that were packed ahead, or else in `scratch`.
  static float* packed_or(unsigned char* scratch, const Slice& slice) {
    return reinterpret_cast<float*>(slice.packed == nullptr ? scratch : slice.packed);
  }
};

template <class Tile>
struct ForwardBySequences : ForwardPacked<Tile> {
  using Base = ForwardPacked<Tile>;
  static constexpr int64_t kTaskRows = Tile::panel_rows(Tile::kColumns);

  static Plan plan(const RecurrenceShape& s, int) {
    return with_cell(s.cell, [&](auto cell) {
      Plan plan;
      plan.weights = PackedWeights<decltype(cell), Tile>::format(s);
      plan.tasks[0] = ceil_div(s.batch, kTaskRows);
      plan.chunk_bytes = plan.weights.bytes;
      return plan;
    });
  }

  static void run(const RecurrenceShape& s, const Plan& plan, const RecurrenceOperands<float>& o,
                  const Slice& slice) {
    with_cell(s.cell, [&](auto cell) {
      using Cell = decltype(cell);
      using Weights = PackedWeights<Cell, Tile>;
      const int64_t blocks = plan.weights.tasks, floats = Weights::floats(s);
      float* const packed = Base::packed_or(slice.chunk, slice);
      if (slice.packed == nullptr) Base::template pack_blocks<Cell>(s, o, 0, blocks, packed);
      for (int64_t position = 0; position < s.steps; ++position) {
        const Step step = step_at(s, o, Pass::forward, position);
        for (int64_t block = 0; block < blocks; ++block) {
          ForwardStep<Cell, Tile, Weights>::run(s, o, step, slice.begin * kTaskRows,
                                                slice.end * kTaskRows, block,
                                                Weights(s, packed + block * floats));
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
struct ForwardByUnits : ForwardPacked<Tile> {
  static Plan plan(const RecurrenceShape& s, int) {
    return with_cell(s.cell, [&](auto cell) {
      Plan plan;
      plan.weights = PackedWeights<decltype(cell), Tile>::format(s);
      plan.rounds = s.steps;
      plan.tasks[0] = plan.weights.tasks;
      if (s.steps > 1) {
        plan.shared_bytes = plan.weights.bytes;
      } else {
        plan.chunk_bytes = plan.weights.bytes / plan.weights.tasks;
      }
      return plan;
    });
  }

  static void run(const RecurrenceShape& s, const Plan&, const RecurrenceOperands<float>& o,
                  const Slice& slice) {
    with_cell(s.cell, [&](auto cell) {
      using Cell = decltype(cell);
      using Weights = PackedWeights<Cell, Tile>;
      const bool is_packed = slice.packed != nullptr, keeps_all = is_packed || s.steps > 1;
      const Step step = step_at(s, o, Pass::forward, slice.round);
      for (int64_t i = slice.begin; i < slice.end; ++i) {
        const int64_t block = serpentine(slice, i);
        float* const packed =
            ForwardPacked<Tile>::packed_or(s.steps > 1 ? slice.shared : slice.chunk, slice) +
            (keeps_all ? block * Weights::floats(s) : 0);
        if (slice.round == 0 && !is_packed) Weights::pack(s, o, block, packed);
        ForwardStep<Cell, Tile, Weights>::run(s, o, step, 0, s.batch, block, Weights(s, packed));
      }
    });
  }
};

template <class Tile>
struct ForwardHoisted : ForwardPacked<Tile> {
  static constexpr int64_t kHoistedRows = 256;  // enough for w_ih to be read once for many products

  static Plan plan(const RecurrenceShape& s, int) {
    return with_cell(s.cell, [&](auto cell) {
      using Weights = PackedWeights<decltype(cell), Tile>;
      constexpr int64_t kFloat = sizeof(float);
      Plan plan;
      plan.weights = Weights::format(s);
      plan.rounds = s.steps;
      plan.tasks[0] = plan.weights.tasks;
      plan.shared_bytes = Weights::format(only_state(s)).bytes +
                          hoisted_steps(s) * s.batch * z_row<Weights>(s) * kFloat;
      plan.chunk_bytes = s.input * Weights::Block::kXColumns * kFloat;
      return plan;
    });
  }

  // Without weights packed ahead, those of h are packed once and those of x for each group of
  // steps, right where they are used.
  static void run(const RecurrenceShape& s, const Plan&, const RecurrenceOperands<float>& o,
                  const Slice& slice) {
    with_cell(s.cell, [&](auto cell) {
      using Cell = decltype(cell);
      using Base = ForwardPacked<Tile>;
      using Weights = PackedWeights<Cell, Tile>;
      const bool is_packed = slice.packed != nullptr;
      const RecurrenceShape kept = is_packed ? s : only_state(s);
      float* const packed = Base::packed_or(slice.shared, slice);
      if (slice.round == 0 && !is_packed) {
        Base::template pack_blocks<Cell>(kept, o, slice.begin, slice.end, packed);
      }
      const auto weights = [&](int64_t block) {
        return Weights(kept, packed + block * Weights::floats(kept));
      };
      // The steps of a group follow each other in memory, whichever way the walk goes.
      const int64_t first = slice.round / hoisted_steps(s) * hoisted_steps(s);
      const Step a = step_at(s, o, Pass::forward, first);
      const Step b = step_at(s, o, Pass::forward, min(s.steps, first + hoisted_steps(s)) - 1);
      const int64_t first_row = min(a.row, b.row), z_row = ForwardHoisted::z_row<Weights>(s);
      float* const z =
          reinterpret_cast<float*>(slice.shared + Weights::format(only_state(s)).bytes);
      if (slice.round == first) {
        const int64_t rows = max(a.row + a.count, b.row + b.count) - first_row;
        float* const own_panels = reinterpret_cast<float*>(slice.chunk);
        for (int64_t block = slice.begin; block < slice.end; ++block) {
          if (!is_packed) Weights::pack_x(s, o, block, own_panels);
          Weights::multiply_x(s, rows, o.x + first_row * s.input, weights(block).biases(),
                              is_packed ? weights(block).panels_of_x() : own_panels,
                              z + block * Weights::Block::kXColumns, z_row);
        }
      }
      const Step step = step_at(s, o, Pass::forward, slice.round);
      for (int64_t i = slice.begin; i < slice.end; ++i) {
        const int64_t block = serpentine(slice, i);
        ForwardStep<Cell, Tile, Weights>::run(s, o, step, 0, s.batch, block, weights(block),
                                              {z, z_row, first_row});
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

  template <class Weights>
  static int64_t z_row(const RecurrenceShape& s) {
    return Weights::Block::count(s) * Weights::Block::kXColumns;
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
        ForwardStep<Cell, Tile, Weights>::run(s, o, step, 0, s.batch, block, Weights(s, o, block));
      }
    });
  }
};

}  // namespace
}  // namespace cnnext
