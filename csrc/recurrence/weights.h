// SPDX-License-Identifier: BSD-3-Clause
// The weights of a block of units, packed or where they are, and the products with them.
//
// A block's columns lie side by side, kUnits of each sum, so that a tile of the micro-kernel has
// all sums of its units. Those of products with x come first.
#pragma once

#include "gemm/dot.h"
#include "gemm/tile.h"
#include "recurrence/units.h"

namespace cnnext {
namespace {

template <class Cell, class Tile>
struct UnitBlock {
  static constexpr int kLanes = Tile::kLanes;
  static constexpr int64_t kUnits = max(kLanes, Tile::kColumns / Cell::kSums);
  static constexpr int64_t kColumns = Cell::kSums * kUnits;
  static constexpr int64_t kXColumns = Cell::kXSums * kUnits;
  static constexpr int64_t kHColumns = Cell::kHSums * kUnits;
  static constexpr int64_t kRows = Tile::panel_rows(min(Tile::kColumns, kXColumns));

  static int64_t count(const RecurrenceShape& s) { return ceil_div(s.hidden, kUnits); }
  static int64_t units(const RecurrenceShape& s, int64_t block) {
    return min(kUnits, s.hidden - block * kUnits);
  }

  // What the sums start from.
  static void biases(const RecurrenceShape& s, const RecurrenceOperands<float>& o, int64_t block,
                     float* row) {
    fill_zero(row, kColumns);
    if (o.b_ih == nullptr) return;
    const int64_t first = block * kUnits;
    for (int64_t unit = 0; unit < units(s, block); unit += kLanes) {
      const int64_t count = min(kLanes, units(s, block) - unit);
      const auto add = [&](const float* bias, int gate, float* sums) {
        store<kLanes>(sums, load<kLanes>(sums) +
                                load_partial<kLanes>(bias + gate * s.hidden + first + unit, count));
      };
      for (int i = 0; i < Cell::kXSums; ++i) add(o.b_ih, Cell::x_gate(i), row + i * kUnits + unit);
      for (int i = 0; i < Cell::kHSums; ++i) {
        add(o.b_hh, Cell::h_gate(i), row + kColumns - kHColumns + i * kUnits + unit);
      }
    }
  }
};

// The weights of a block of units, in panels as wide as the tile, and before them the biases.
template <class Cell, class Tile>
struct PackedWeights {
  using Block = UnitBlock<Cell, Tile>;

  static int64_t floats(const RecurrenceShape& s) {
    return Block::kColumns + s.input * Block::kXColumns + s.hidden * Block::kHColumns;
  }

  // Those of all blocks, one after the other; a task packs one.
  static PackFormat format(const RecurrenceShape& s) {
    PackFormat format;
    format.order = "unit blocks";
    format.columns = Block::kColumns;
    format.tasks = Block::count(s);
    format.bytes = format.tasks * floats(s) * static_cast<int64_t>(sizeof(float));
    format.optional = true;
    return format;
  }

  static void pack(const RecurrenceShape& s, const RecurrenceOperands<float>& o, int64_t block,
                   float* packed) {
    Block::biases(s, o, block, packed);
    float* const of_x = packed + Block::kColumns;
    pack_x(s, o, block, of_x);
    for (int i = 0; i < Cell::kHSums; ++i) {
      pack_gate<Block::kHColumns>(s, block, o.w_hh, Cell::h_gate(i), s.hidden, i,
                                  of_x + s.input * Block::kXColumns);
    }
  }

  // The panels of w_ih alone.
  static void pack_x(const RecurrenceShape& s, const RecurrenceOperands<float>& o, int64_t block,
                     float* panels) {
    for (int i = 0; i < Cell::kXSums; ++i) {
      pack_gate<Block::kXColumns>(s, block, o.w_ih, Cell::x_gate(i), s.input, i, panels);
    }
  }

  PackedWeights(const RecurrenceShape& s, const float* packed) : s_(s), packed_(packed) {}

  CNNEXT_INLINE const float* biases() const { return packed_; }
  CNNEXT_INLINE const float* panels_of_x() const { return packed_ + Block::kColumns; }

  void add_product_of_x(int64_t rows, const float* x, float* sums) const {
    multiply<Block::kXColumns>(rows, x, s_.input, panels_of_x(), sums);
  }

  void add_product_of_h(int64_t rows, const float* h, float* sums) const {
    multiply<Block::kHColumns>(rows, h, s_.hidden, panels_of_x() + s_.input * Block::kXColumns,
                               sums + Block::kColumns - Block::kHColumns);
  }

  // z = biases + x w_ih^T of any number of rows, whose z are z_row apart.
  static void multiply_x(const RecurrenceShape& s, int64_t rows, const float* x,
                         const float* biases, const float* panels, float* z, int64_t z_row) {
    int64_t k = 0;
    do {  // parts of the panels that stay in L2 for all rows
      for (int64_t column = 0; column < Block::kXColumns; column += Tile::kColumns) {
        TileOperands t = operands<Block::kXColumns>(column, s.input, panels);
        t.a = x + k;
        t.length = min(kChain, s.input - k);
        t.b += k * t.b_k;
        t.c = z + column;
        t.c_row = z_row;
        t.init = k == 0 ? biases + column : t.c;
        t.init_row = k == 0 ? 0 : z_row;
        multiply_panel<Tile>(rows, t);
      }
      k += kChain;
    } while (k < s.input);
  }

 private:
  // The width of the panel that starts at a column.
  template <int64_t Columns>
  static constexpr int64_t width(int64_t column) {
    return min(Tile::kColumns, Columns - column);
  }

  template <int64_t Columns>
  static void pack_gate(const RecurrenceShape& s, int64_t block, const float* w, int64_t gate,
                        int64_t depth, int sum, float* panels) {
    const int64_t column = sum * Block::kUnits % Tile::kColumns;
    const int64_t panel = sum * Block::kUnits - column;
    const int64_t units = Block::units(s, block), step = width<Columns>(panel);
    float* const dst = panels + panel * depth + column;
    if (units < Block::kUnits) {  // stale scratch could hold denormals, which multiply slowly
      for (int64_t k = 0; k < depth; ++k) fill_zero(dst + k * step, Block::kUnits);
    }
    transpose_block<Tile::kLanes>(w + (gate * s.hidden + block * Block::kUnits) * depth, depth, dst,
                                  step, units, depth);
  }

  // Those of the panel that starts at a column, without a and c.
  template <int64_t Columns>
  static TileOperands operands(int64_t column, int64_t depth, const float* panels) {
    static constexpr int64_t kSegment = 0;
    TileOperands t;
    t.segments = &kSegment;
    t.n_segments = 1;
    t.length = t.a_row = depth;
    t.a_k = 1;
    t.b = panels + column * depth;
    t.b_k = t.columns = width<Columns>(column);
    return t;
  }

  template <int64_t Columns>
  static void multiply(int64_t rows, const float* a, int64_t depth, const float* panels,
                       float* sums) {
    for (int64_t column = 0; column < Columns; column += Tile::kColumns) {
      TileOperands t = operands<Columns>(column, depth, panels);
      t.a = a;
      t.init = t.c = sums + column;
      t.init_row = t.c_row = Block::kColumns;
      multiply_rows<Tile>(rows, t);
    }
  }

  const RecurrenceShape& s_;
  const float* packed_;
};

// The weights of a block of units where they are.
template <class Cell, class Tile>
class WeightsInPlace {
 public:
  using Block = UnitBlock<Cell, Tile>;

  WeightsInPlace(const RecurrenceShape& s, const RecurrenceOperands<float>& o, int64_t block)
      : s_(s), o_(o), block_(block) {
    Block::biases(s, o, block, biases_);
  }

  CNNEXT_INLINE const float* biases() const { return biases_; }

  void add_product_of_x(int64_t rows, const float* x, float* sums) const {
    for (int i = 0; i < Cell::kXSums; ++i) {
      multiply(rows, x, s_.input, o_.w_ih, Cell::x_gate(i), sums + i * Block::kUnits);
    }
  }

  void add_product_of_h(int64_t rows, const float* h, float* sums) const {
    for (int i = 0; i < Cell::kHSums; ++i) {
      multiply(rows, h, s_.hidden, o_.w_hh, Cell::h_gate(i),
               sums + Block::kColumns - Block::kHColumns + i * Block::kUnits);
    }
  }

 private:
  void multiply(int64_t rows, const float* a, int64_t depth, const float* w, int64_t gate,
                float* sums) const {
    const float* const b = w + (gate * s_.hidden + block_ * Block::kUnits) * depth;
    const DotOperands p{rows, depth, a, depth, b, depth, sums, Block::kColumns, true};
    DotProducts<Tile::kLanes>::run(p, 0, Block::units(s_, block_));
  }

  const RecurrenceShape& s_;
  const RecurrenceOperands<float>& o_;
  const int64_t block_;
  alignas(64) float biases_[Block::kColumns];
};

}  // namespace
}  // namespace cnnext
