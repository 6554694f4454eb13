// SPDX-License-Identifier: BSD-3-Clause
// What is pointwise in the three cells, on any processor, and how the columns of their products lie
// side by side.
//
// A unit has kSums pre-activations. The product with x adds to the first kXSums of them, that with
// h to the last kHSums; x_gate(i) and h_gate(i) say with which block of the weights the i-th of
// those is multiplied. Only the GRU, whose candidate keeps the two apart, has sums that both do not
// share.
//
// `At` is a place in the operands, of one unit or of several side by side, and what computes there:
// a UnitPlace with At::Value, which holds a value of each, and with read, read_or_zero, write,
// sigmoid and tanh. `sum(i)` is the i-th pre-activation, computed when it is asked for: a GPU has
// no registers for all of them at once.
#pragma once

#include "recurrence/recurrence.h"

namespace cnnext {
namespace {

// Where a unit of one sequence at one step lies, or the first of several.
template <class T>
struct UnitPlace {
  using Operands = RecurrenceOperands<T>;

  int64_t hidden, row, sequence, unit;
  bool starts;  // the sequence, with this step of the walk
  const T* h;   // forward: the state that the step starts from, at this unit

  CNNEXT_INLINE int64_t of_row() const { return row * hidden + unit; }
  CNNEXT_INLINE int64_t of_sequence() const { return sequence * hidden + unit; }
  // In the i-th of `blocks` blocks of `hidden` columns that each row has.
  CNNEXT_INLINE int64_t of_block(int64_t i, int64_t blocks) const {
    return row * blocks * hidden + unit + i * hidden;
  }
};

template <class At>
CNNEXT_INLINE void write_hidden(const typename At::Operands& o, const At& at,
                                typename At::Value h_next) {
  at.write(o.y, at.of_row(), h_next);
  if (o.h_n != nullptr) at.write(o.h_n, at.of_sequence(), h_next);
}

struct LSTM {
  static constexpr int kSums = 4, kXSums = 4, kHSums = 4;
  CNNEXT_INLINE static constexpr int x_gate(int i) { return i; }
  CNNEXT_INLINE static constexpr int h_gate(int i) { return i; }

  template <class At, class Sums, class Value = typename At::Value>
  CNNEXT_INLINE static void forward(const typename At::Operands& o, const At& at, const Sums& sum) {
    const Value i = at.sigmoid(sum(0)), f = at.sigmoid(sum(1));
    const Value g = at.tanh(sum(2)), out = at.sigmoid(sum(3));
    if (o.workspace != nullptr) {
      at.write(o.workspace, at.of_block(0, 4), i);
      at.write(o.workspace, at.of_block(1, 4), f);
      at.write(o.workspace, at.of_block(2, 4), g);
      at.write(o.workspace, at.of_block(3, 4), out);
    }
    const Value before = at.read(at.starts ? o.c0 : o.c_n, at.of_sequence());
    if (o.state != nullptr) at.write(o.state, at.of_row(), before);
    const Value c = f * before + i * g;
    at.write(o.c_n, at.of_sequence(), c);
    write_hidden(o, at, out * at.tanh(c));
  }

  // From dh, as the steps after it have it; returns the h' of the step.
  template <class At, class Value = typename At::Value>
  CNNEXT_INLINE static Value backward(const typename At::Operands& o, const At& at, Value dh) {
    const Value i = at.read(o.saved_workspace, at.of_block(0, 4));
    const Value f = at.read(o.saved_workspace, at.of_block(1, 4));
    const Value g = at.read(o.saved_workspace, at.of_block(2, 4));
    const Value out = at.read(o.saved_workspace, at.of_block(3, 4));
    const Value before = at.read(o.saved_state, at.of_row());
    const Value tanh_c = at.tanh(f * before + i * g);
    const Value dc = at.read_or_zero(at.starts ? o.dc_n : o.dc0, at.of_sequence()) +
                     dh * out * (1.0f - tanh_c * tanh_c);
    at.write(o.u, at.of_block(0, 4), dc * g * i * (1.0f - i));
    at.write(o.u, at.of_block(1, 4), dc * before * f * (1.0f - f));
    at.write(o.u, at.of_block(2, 4), dc * i * (1.0f - g * g));
    at.write(o.u, at.of_block(3, 4), dh * tanh_c * out * (1.0f - out));
    at.write(o.dc0, at.of_sequence(), dc * f);
    return out * tanh_c;
  }
};

struct GRU {
  static constexpr int kSums = 4, kXSums = 3, kHSums = 3;  // n, r, z of x; r, z, n of h
  CNNEXT_INLINE static constexpr int x_gate(int i) { return i == 0 ? 2 : i - 1; }
  CNNEXT_INLINE static constexpr int h_gate(int i) { return i; }

  template <class At, class Sums, class Value = typename At::Value>
  CNNEXT_INLINE static void forward(const typename At::Operands& o, const At& at, const Sums& sum) {
    const Value r = at.sigmoid(sum(1)), z = at.sigmoid(sum(2)), q = sum(3);
    const Value n = at.tanh(sum(0) + r * q), h = at.read(at.h, 0);
    write_hidden(o, at, n + z * (h - n));
    if (o.state != nullptr) at.write(o.state, at.of_row(), h);
    if (o.workspace == nullptr) return;
    at.write(o.workspace, at.of_block(0, 4), n);
    at.write(o.workspace, at.of_block(1, 4), r);
    at.write(o.workspace, at.of_block(2, 4), z);
    at.write(o.workspace, at.of_block(3, 4), q);
  }

  template <class At, class Value = typename At::Value>
  CNNEXT_INLINE static Value backward(const typename At::Operands& o, const At& at, Value dh) {
    const Value n = at.read(o.saved_workspace, at.of_block(0, 4));
    const Value r = at.read(o.saved_workspace, at.of_block(1, 4));
    const Value z = at.read(o.saved_workspace, at.of_block(2, 4));
    const Value q = at.read(o.saved_workspace, at.of_block(3, 4));
    const Value before = at.read(o.saved_state, at.of_row());
    const Value dn = dh * (1.0f - z) * (1.0f - n * n);
    const Value u_r = dn * q * r * (1.0f - r);
    const Value u_z = dh * (before - n) * z * (1.0f - z);
    at.write(o.u, at.of_block(0, 3), u_r);
    at.write(o.u_hh, at.of_block(0, 3), u_r);
    at.write(o.u, at.of_block(1, 3), u_z);
    at.write(o.u_hh, at.of_block(1, 3), u_z);
    at.write(o.u, at.of_block(2, 3), dn);
    at.write(o.u_hh, at.of_block(2, 3), dn * r);
    at.write(o.dh0, at.of_sequence(), dh * z);
    return n + z * (before - n);
  }
};

template <bool kRectified>
struct RNN {
  static constexpr int kSums = 1, kXSums = 1, kHSums = 1;
  CNNEXT_INLINE static constexpr int x_gate(int i) { return i; }
  CNNEXT_INLINE static constexpr int h_gate(int i) { return i; }

  template <class At, class Sums, class Value = typename At::Value>
  CNNEXT_INLINE static void forward(const typename At::Operands& o, const At& at, const Sums& sum) {
    Value h_next = sum(0);
    if constexpr (kRectified) {
      h_next = h_next < 0.0f ? Value{} : h_next;  // NaN stays
    } else {
      h_next = at.tanh(h_next);
    }
    write_hidden(o, at, h_next);
    if (o.state != nullptr) at.write(o.state, at.of_row(), h_next);
  }

  template <class At, class Value = typename At::Value>
  CNNEXT_INLINE static Value backward(const typename At::Operands& o, const At& at, Value dh) {
    const Value h_next = at.read(o.saved_state, at.of_row());
    if constexpr (kRectified) {
      at.write(o.u, at.of_row(), h_next <= 0.0f ? Value{} : dh);
    } else {
      at.write(o.u, at.of_row(), dh * (1.0f - h_next * h_next));
    }
    return h_next;
  }
};

// f(Cell()) with the cell of that kind.
template <class F>
CNNEXT_INLINE auto with_cell(CellKind kind, const F& f) {
  switch (kind) {
    case CellKind::lstm:
      return f(LSTM());
    case CellKind::gru:
      return f(GRU());
    case CellKind::rnn_tanh:
      return f(RNN<false>());
    default:
      return f(RNN<true>());
  }
}

}  // namespace
}  // namespace cnnext
