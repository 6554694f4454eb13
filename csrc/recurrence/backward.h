// SPDX-License-Identifier: BSD-3-Clause
// The backward pass of a recurrence, shared out as the forward pass is (forward.h): by sequences,
// or by units with a round a step. The tiles are a few sequences x a block of units; a tile
// collects the gradient of the units' state, from the output and, through w_hh, from the step
// after, and goes on to the gradient of the gates. The h' of the tile's step goes to the rows of
// the step after, which started from it. One position after the last step, what is left is the
// gradient of the first state. Gates alone need no weights.
#pragma once

#include "gemm/tile.h"
#include "recurrence/steps.h"
#include "recurrence/units.h"

namespace cnnext {
namespace {

template <class Cell, class Tile>
struct BackwardStep {
  static constexpr int N = Tile::kLanes;
  static constexpr int64_t kUnits = Tile::kColumns;
  static constexpr int64_t kRows = Tile::panel_rows(kUnits);

  static int64_t blocks(const RecurrenceShape& s) { return ceil_div(s.hidden, kUnits); }
  static int64_t packed_floats(const RecurrenceShape& s) { return s.gates() * s.hidden * kUnits; }

  // The weights of all blocks, one after the other; a task packs one.
  static PackFormat format(const RecurrenceShape& s) {
    PackFormat format;
    if (s.gates_only) return format;
    format.order = "unit columns";
    format.columns = kUnits;
    format.tasks = blocks(s);
    format.bytes = format.tasks * packed_floats(s) * static_cast<int64_t>(sizeof(float));
    format.optional = true;
    return format;
  }

  // The columns of w_hh that belong to a block of units.
  static void pack(const RecurrenceShape& s, const RecurrenceOperands<float>& o, int64_t block,
                   float* packed) {
    const int64_t units = units_of(s, block);
    for (int64_t j = 0; j < s.gates() * s.hidden; ++j) {
      float* const row = packed + j * kUnits;
      if (units < kUnits) fill_zero(row, kUnits);
      copy(row, o.w_hh + j * s.hidden + block * kUnits, units);
    }
  }

  // Sequences [first, last) and one block of units.
  static void run(const RecurrenceShape& s, const RecurrenceOperands<float>& o, const Step& step,
                  int64_t first, int64_t last, int64_t block, const float* packed) {
    const bool ends_matter = o.dh0 != nullptr || o.h_before != nullptr;
    last = min(last, ends_matter ? max(step.count, step.before_count) : step.count);
    for (int64_t i = first, rows; i < last; i += rows) {
      const int64_t part = i < step.continuing ? step.continuing : last;
      rows = min(kRows, min(last, part) - i);
      tile(s, o, step, i, rows, block, packed);
    }
  }

 private:
  static int64_t units_of(const RecurrenceShape& s, int64_t block) {
    return min(kUnits, s.hidden - block * kUnits);
  }

  static void tile(const RecurrenceShape& s, const RecurrenceOperands<float>& o, const Step& step,
                   int64_t i, int64_t rows, int64_t block, const float* packed) {
    alignas(64) float dh[kRows * kUnits];
    const bool starts = i >= step.before_count, ends = i >= step.count;
    const int64_t first_unit = block * kUnits, units = units_of(s, block);
    // The GRU leaves in dh0 what of dh goes by without a product.
    const float* const from_after = starts                    ? o.dh_n
                                    : s.cell == CellKind::gru ? static_cast<const float*>(o.dh0)
                                                              : nullptr;
    const auto each_vector = [&](const auto& f) {
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t unit = 0; unit < units; unit += N) {
          const Units<N> at{{s.hidden, step.row + i + r, i + r, first_unit + unit, starts, nullptr},
                            min(N, units - unit)};
          f(at, dh + r * kUnits + unit);
        }
      }
    };
    if (units < kUnits) fill_zero(dh, kRows * kUnits);
    each_vector([&](const Units<N>& at, float* sums) {
      f32<N> sum = at.read_or_zero(from_after, at.of_sequence());
      if (!ends) sum += at.read_or_zero(o.dy, at.of_row());
      store<N>(sums, sum);
    });
    if (!starts && !s.gates_only) add_product(s, o, step.before_row + i, rows, packed, dh);
    each_vector([&](const Units<N>& at, float* sums) {
      f32<N> h_next;
      if (ends) {
        if (o.dh0 != nullptr) at.write(o.dh0, at.of_sequence(), load<N>(sums));
        h_next = at.read_or_zero(o.h0, at.of_sequence());
      } else {
        h_next = Cell::backward(o, at, load<N>(sums));
      }
      if (starts || o.h_before == nullptr) return;
      at.write(o.h_before, (step.before_row + at.sequence) * s.hidden + at.unit, h_next);
    });
  }

  static void add_product(const RecurrenceShape& s, const RecurrenceOperands<float>& o, int64_t row,
                          int64_t rows, const float* packed, float* dh) {
    static constexpr int64_t kSegment = 0;
    const int64_t depth = s.gates() * s.hidden;
    TileOperands t;
    t.a = (o.u_hh == nullptr ? o.u : o.u_hh) + row * depth;
    t.segments = &kSegment;
    t.n_segments = 1;
    t.length = t.a_row = depth;
    t.a_k = 1;
    t.b = packed;
    t.b_k = t.columns = kUnits;
    t.init = t.c = dh;
    t.init_row = t.c_row = kUnits;
    multiply_rows<Tile>(rows, t);
  }
};

// What both forms have in common.
template <class Tile>
struct BackwardPacked {
  using AnyCell = BackwardStep<LSTM, Tile>;  // all cells' weights are packed alike

  static void pack(const RecurrenceShape& s, const Plan&, const RecurrenceOperands<float>& o,
                   const Slice& slice) {
    pack_blocks(s, o, slice.begin, slice.end, reinterpret_cast<float*>(slice.packed));
  }

 protected:
  // Blocks [first, last), each to its place among all.
  static void pack_blocks(const RecurrenceShape& s, const RecurrenceOperands<float>& o,
                          int64_t first, int64_t last, float* packed) {
    for (int64_t block = first; block < last; ++block) {
      AnyCell::pack(s, o, block, packed + block * AnyCell::packed_floats(s));
    }
  }
};

template <class Tile>
struct BackwardBySequences : BackwardPacked<Tile> {
  using typename BackwardPacked<Tile>::AnyCell;
  static constexpr int64_t kTaskRows = Tile::panel_rows(Tile::kColumns);

  static Plan plan(const RecurrenceShape& s, int) {
    Plan plan;
    plan.weights = AnyCell::format(s);
    plan.tasks[0] = ceil_div(s.batch, kTaskRows);
    plan.chunk_bytes = plan.weights.bytes;
    return plan;
  }

  static void run(const RecurrenceShape& s, const Plan& plan, const RecurrenceOperands<float>& o,
                  const Slice& slice) {
    const bool packs = plan.weights.exists() && slice.packed == nullptr;
    float* const packed = reinterpret_cast<float*>(packs ? slice.chunk : slice.packed);
    if (packs) BackwardPacked<Tile>::pack_blocks(s, o, 0, plan.weights.tasks, packed);
    with_cell(s.cell, [&](auto cell) {
      using Work = BackwardStep<decltype(cell), Tile>;
      const int64_t blocks = Work::blocks(s), floats = Work::packed_floats(s);
      for (int64_t position = 0; position <= s.steps; ++position) {
        const Step step = step_at(s, o, Pass::backward, position);
        for (int64_t block = 0; block < blocks; ++block) {
          Work::run(s, o, step, slice.begin * kTaskRows, slice.end * kTaskRows, block,
                    packed + block * floats);
        }
      }
    });
  }
};

template <class Tile>
struct BackwardByUnits : BackwardPacked<Tile> {
  using typename BackwardPacked<Tile>::AnyCell;

  static Plan plan(const RecurrenceShape& s, int) {
    Plan plan;
    plan.weights = AnyCell::format(s);
    plan.rounds = s.steps + 1;
    plan.tasks[0] = AnyCell::blocks(s);
    plan.shared_bytes = plan.weights.bytes;
    return plan;
  }

  static void run(const RecurrenceShape& s, const Plan& plan, const RecurrenceOperands<float>& o,
                  const Slice& slice) {
    const bool packs = plan.weights.exists() && slice.packed == nullptr;
    float* const packed = reinterpret_cast<float*>(packs ? slice.shared : slice.packed);
    if (packs && slice.round == 1) {  // the first with products
      BackwardPacked<Tile>::pack_blocks(s, o, slice.begin, slice.end, packed);
    }
    with_cell(s.cell, [&](auto cell) {
      using Work = BackwardStep<decltype(cell), Tile>;
      const Step step = step_at(s, o, Pass::backward, slice.round);
      for (int64_t block = slice.begin; block < slice.end; ++block) {
        Work::run(s, o, step, 0, s.batch, block, packed + block * Work::packed_floats(s));
      }
    });
  }
};

}  // namespace
}  // namespace cnnext
