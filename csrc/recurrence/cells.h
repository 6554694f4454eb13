// SPDX-License-Identifier: BSD-3-Clause
// What is pointwise in the three cells, N units of one row at a time, and how the columns of their
// products lie side by side.
//
// The sums of a unit stand in `kSlots` slots. The product with x adds to the first kXSlots of them,
// that with h to the last kHSlots; x_gate(i) and h_gate(i) say with which block of the weights the
// i-th of those is multiplied. Only the GRU, whose candidate keeps the two apart, has slots that
// both do not share.
#pragma once

#include "common/simd/math.h"
#include "common/simd/simd.h"
#include "recurrence/recurrence.h"

namespace cnnext {
namespace {

// Where N units of one sequence at one step lie; `count` of them are there.
template <int N>
struct Units {
  int64_t hidden, row, sequence, unit, count;
  bool starts;     // the sequence, with this step of the walk
  const float* h;  // forward: the state that the step starts from, at these units

  CNNEXT_INLINE int64_t of_row() const { return row * hidden + unit; }
  CNNEXT_INLINE int64_t of_sequence() const { return sequence * hidden + unit; }
  CNNEXT_INLINE f32<N> read(const float* p, int64_t at) const {
    return load_partial<N>(p + at, count);
  }
  CNNEXT_INLINE f32<N> read_or_zero(const float* p, int64_t at) const {
    return p == nullptr ? f32<N>{} : load_partial<N>(p + at, count);
  }
  CNNEXT_INLINE void write(float* p, int64_t at, f32<N> v) const {
    store_partial<N>(p + at, v, count);
  }

  // The i-th of `slots` values of each unit.
  CNNEXT_INLINE int64_t of_slot(int64_t i, int64_t slots) const {
    return (row * slots + i) * hidden + unit;
  }
  CNNEXT_INLINE void write_state(const RecurrenceOperands<float>& o, f32<N> h_next) const {
    write(o.y, of_row(), h_next);
    write(o.h_n, of_sequence(), h_next);
  }
};

struct LSTM {
  static constexpr int kSlots = 4, kXSlots = 4, kHSlots = 4;
  static constexpr int x_gate(int i) { return i; }
  static constexpr int h_gate(int i) { return i; }

  template <int N>
  CNNEXT_INLINE static void forward(const RecurrenceOperands<float>& o, const Units<N>& at,
                                    const f32<N> (&z)[4]) {
    const f32<N> i = sigmoid<N>(z[0]), f = sigmoid<N>(z[1]);
    const f32<N> g = tanh<N>(z[2]), out = sigmoid<N>(z[3]);
    const f32<N> before = at.read(at.starts ? o.c0 : o.c_n, at.of_sequence());
    const f32<N> c = f * before + i * g;
    at.write(o.c_n, at.of_sequence(), c);
    at.write_state(o, out * tanh<N>(c));
    if (o.state == nullptr) return;
    at.write(o.slots, at.of_slot(0, 4), i);
    at.write(o.slots, at.of_slot(1, 4), f);
    at.write(o.slots, at.of_slot(2, 4), g);
    at.write(o.slots, at.of_slot(3, 4), out);
    at.write(o.state, at.of_row(), before);
  }

  // From dh, as the steps after it have it; returns the h' of the step.
  template <int N>
  CNNEXT_INLINE static f32<N> backward(const RecurrenceOperands<float>& o, const Units<N>& at,
                                       f32<N> dh) {
    const f32<N> i = at.read(o.saved_slots, at.of_slot(0, 4));
    const f32<N> f = at.read(o.saved_slots, at.of_slot(1, 4));
    const f32<N> g = at.read(o.saved_slots, at.of_slot(2, 4));
    const f32<N> out = at.read(o.saved_slots, at.of_slot(3, 4));
    const f32<N> before = at.read(o.saved_state, at.of_row());
    const f32<N> tanh_c = tanh<N>(f * before + i * g);
    const f32<N> dc = at.read_or_zero(at.starts ? o.dc_n : o.dc0, at.of_sequence()) +
                      dh * out * (1.0f - tanh_c * tanh_c);
    at.write(o.u, at.of_slot(0, 4), dc * g * i * (1.0f - i));
    at.write(o.u, at.of_slot(1, 4), dc * before * f * (1.0f - f));
    at.write(o.u, at.of_slot(2, 4), dc * i * (1.0f - g * g));
    at.write(o.u, at.of_slot(3, 4), dh * tanh_c * out * (1.0f - out));
    at.write(o.dc0, at.of_sequence(), dc * f);
    return out * tanh_c;
  }
};

struct GRU {
  static constexpr int kSlots = 4, kXSlots = 3, kHSlots = 3;  // n, r, z of x; r, z, n of h
  static constexpr int x_gate(int i) { return i == 0 ? 2 : i - 1; }
  static constexpr int h_gate(int i) { return i; }

  template <int N>
  CNNEXT_INLINE static void forward(const RecurrenceOperands<float>& o, const Units<N>& at,
                                    const f32<N> (&sum)[4]) {
    const f32<N> r = sigmoid<N>(sum[1]), z = sigmoid<N>(sum[2]), q = sum[3];
    const f32<N> n = tanh<N>(sum[0] + r * q), h = at.read(at.h, 0);
    at.write_state(o, n + z * (h - n));
    if (o.state == nullptr) return;
    at.write(o.slots, at.of_slot(0, 4), n);
    at.write(o.slots, at.of_slot(1, 4), r);
    at.write(o.slots, at.of_slot(2, 4), z);
    at.write(o.slots, at.of_slot(3, 4), q);
    at.write(o.state, at.of_row(), h);
  }

  template <int N>
  CNNEXT_INLINE static f32<N> backward(const RecurrenceOperands<float>& o, const Units<N>& at,
                                       f32<N> dh) {
    const f32<N> n = at.read(o.saved_slots, at.of_slot(0, 4));
    const f32<N> r = at.read(o.saved_slots, at.of_slot(1, 4));
    const f32<N> z = at.read(o.saved_slots, at.of_slot(2, 4));
    const f32<N> q = at.read(o.saved_slots, at.of_slot(3, 4));
    const f32<N> before = at.read(o.saved_state, at.of_row());
    const f32<N> dn = dh * (1.0f - z) * (1.0f - n * n);
    const f32<N> u_r = dn * q * r * (1.0f - r);
    const f32<N> u_z = dh * (before - n) * z * (1.0f - z);
    at.write(o.u, at.of_slot(0, 3), u_r);
    at.write(o.u_hh, at.of_slot(0, 3), u_r);
    at.write(o.u, at.of_slot(1, 3), u_z);
    at.write(o.u_hh, at.of_slot(1, 3), u_z);
    at.write(o.u, at.of_slot(2, 3), dn);
    at.write(o.u_hh, at.of_slot(2, 3), dn * r);
    at.write(o.dh0, at.of_sequence(), dh * z);
    return n + z * (before - n);
  }
};

template <bool kRectified>
struct RNN {
  static constexpr int kSlots = 1, kXSlots = 1, kHSlots = 1;
  static constexpr int x_gate(int i) { return i; }
  static constexpr int h_gate(int i) { return i; }

  template <int N>
  CNNEXT_INLINE static void forward(const RecurrenceOperands<float>& o, const Units<N>& at,
                                    const f32<N> (&z)[1]) {
    f32<N> h_next;
    if constexpr (kRectified) {
      h_next = z[0] < 0.0f ? f32<N>{} : z[0];  // NaN stays
    } else {
      h_next = tanh<N>(z[0]);
    }
    at.write_state(o, h_next);
    if (o.state != nullptr) at.write(o.state, at.of_row(), h_next);
  }

  template <int N>
  CNNEXT_INLINE static f32<N> backward(const RecurrenceOperands<float>& o, const Units<N>& at,
                                       f32<N> dh) {
    const f32<N> h_next = at.read(o.saved_state, at.of_row());
    if constexpr (kRectified) {
      at.write(o.u, at.of_row(), h_next <= 0.0f ? f32<N>{} : dh);
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
