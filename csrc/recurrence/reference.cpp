// SPDX-License-Identifier: BSD-3-Clause
// recurrence as its contract says it, summed in double: the oracle, and the float64 path. A task is
// a sequence.
#include <cmath>

#include "recurrence/steps.h"

namespace cnnext {
namespace {

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

Plan one_task_a_sequence(const RecurrenceShape& s) {
  Plan plan;
  plan.tasks[0] = s.batch;
  return plan;
}

template <class T>
double dot(const T* a, const T* b, int64_t size) {
  double sum = 0.0;
  for (int64_t i = 0; i < size; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

template <class T>
double value_or_zero(const T* p, int64_t at) {
  return p == nullptr ? 0.0 : static_cast<double>(p[at]);
}

template <class T>
struct Forward {
  static Plan plan(const RecurrenceShape& s, int) { return one_task_a_sequence(s); }

  static void run(const RecurrenceShape& s, const Plan&, const RecurrenceOperands<T>& o,
                  const Slice& slice) {
    for (int64_t i = slice.begin; i < slice.end; ++i) {
      for (int64_t position = 0; position < s.steps; ++position) {
        const Step step = step_at(s, o, Pass::forward, position);
        if (i < step.count) take_step(s, o, i, step);
      }
    }
  }

 private:
  static void take_step(const RecurrenceShape& s, const RecurrenceOperands<T>& o, int64_t i,
                        const Step& step) {
    const bool starts = i >= step.continuing;
    const T* const h = starts ? o.h0 + i * s.hidden : o.y + (step.before_row + i) * s.hidden;
    const T* const c = starts ? o.c0 : o.c_n;
    const int64_t row = step.row + i;
    for (int64_t unit = 0; unit < s.hidden; ++unit) {
      double of_x[4], of_h[4];
      for (int64_t gate = 0; gate < s.gates(); ++gate) {
        const int64_t j = gate * s.hidden + unit;
        of_x[gate] =
            dot(o.x + row * s.input, o.w_ih + j * s.input, s.input) + value_or_zero(o.b_ih, j);
        of_h[gate] = dot(h, o.w_hh + j * s.hidden, s.hidden) + value_or_zero(o.b_hh, j);
      }
      const int64_t state = i * s.hidden + unit;
      double saved[4] = {};
      double next = 0.0;
      if (s.cell == CellKind::lstm) {
        for (int gate = 0; gate < 4; ++gate) {
          const double z = of_x[gate] + of_h[gate];
          saved[gate] = gate == 2 ? std::tanh(z) : sigmoid(z);
        }
        const double before = static_cast<double>(c[state]);
        const double c_next = saved[1] * before + saved[0] * saved[2];
        if (o.state != nullptr) o.state[row * s.hidden + unit] = static_cast<T>(before);
        o.c_n[state] = static_cast<T>(c_next);
        next = saved[3] * std::tanh(c_next);
      } else if (s.cell == CellKind::gru) {
        const double r = sigmoid(of_x[0] + of_h[0]), z = sigmoid(of_x[1] + of_h[1]);
        const double n = std::tanh(of_x[2] + r * of_h[2]);
        next = n + z * (static_cast<double>(h[unit]) - n);
        saved[0] = n, saved[1] = r, saved[2] = z, saved[3] = of_h[2];
        if (o.state != nullptr) o.state[row * s.hidden + unit] = h[unit];
      } else {
        const double z = of_x[0] + of_h[0];
        next = s.cell == CellKind::rnn_tanh ? std::tanh(z) : z < 0 ? 0 : z;
        if (o.state != nullptr) o.state[row * s.hidden + unit] = static_cast<T>(next);
      }
      if (o.slots != nullptr) {
        const int64_t slots = saved_slots_of(s.cell);
        for (int64_t slot = 0; slot < slots; ++slot) {
          o.slots[(row * slots + slot) * s.hidden + unit] = static_cast<T>(saved[slot]);
        }
      }
      o.y[row * s.hidden + unit] = static_cast<T>(next);
    }
    for (int64_t unit = 0; unit < s.hidden; ++unit) {
      o.h_n[i * s.hidden + unit] = o.y[row * s.hidden + unit];
    }
  }
};

template <class T>
struct Backward {
  static Plan plan(const RecurrenceShape& s, int) { return one_task_a_sequence(s); }

  static void run(const RecurrenceShape& s, const Plan&, const RecurrenceOperands<T>& o,
                  const Slice& slice) {
    for (int64_t i = slice.begin; i < slice.end; ++i) {
      for (int64_t position = 0; position <= s.steps; ++position) {
        const Step step = step_at(s, o, Pass::backward, position);
        if (i < step.count || i < step.before_count) take_step(s, o, i, step);
      }
    }
  }

 private:
  static void take_step(const RecurrenceShape& s, const RecurrenceOperands<T>& o, int64_t i,
                        const Step& step) {
    const T* const u_hh = o.u_hh == nullptr ? o.u : o.u_hh;
    for (int64_t unit = 0; unit < s.hidden; ++unit) {
      const int64_t state = i * s.hidden + unit;
      const bool starts = i >= step.before_count;
      double dh = starts ? value_or_zero(o.dh_n, state) : 0.0;
      const auto hand_on = [&](T h_next) {
        if (starts || o.h_before == nullptr) return;
        o.h_before[(step.before_row + i) * s.hidden + unit] = h_next;
      };
      if (!starts && o.w_hh != nullptr) {
        if (s.cell == CellKind::gru) dh = static_cast<double>(o.dh0[state]);
        const T* const u = u_hh + (step.before_row + i) * s.gates() * s.hidden;
        for (int64_t j = 0; j < s.gates() * s.hidden; ++j) {
          dh += static_cast<double>(u[j]) * static_cast<double>(o.w_hh[j * s.hidden + unit]);
        }
      }
      if (i >= step.count) {
        o.dh0[state] = static_cast<T>(dh);
        hand_on(static_cast<T>(value_or_zero(o.h0, state)));
        continue;
      }
      const int64_t row = step.row + i, at = row * s.hidden + unit;
      dh += value_or_zero(o.dy, at);
      const T* const saved = o.saved_slots + row * saved_slots_of(s.cell) * s.hidden + unit;
      T* const u = o.u + row * s.gates() * s.hidden + unit;
      const double saved_state = static_cast<double>(o.saved_state[at]);
      if (s.cell == CellKind::lstm) {
        const double in = saved[0], f = saved[s.hidden];
        const double g = saved[2 * s.hidden], out = saved[3 * s.hidden];
        const double tanh_c = std::tanh(f * saved_state + in * g);
        const double dc =
            (starts ? value_or_zero(o.dc_n, state) : static_cast<double>(o.dc0[state])) +
            dh * out * (1 - tanh_c * tanh_c);
        u[0] = static_cast<T>(dc * g * in * (1 - in));
        u[s.hidden] = static_cast<T>(dc * saved_state * f * (1 - f));
        u[2 * s.hidden] = static_cast<T>(dc * in * (1 - g * g));
        u[3 * s.hidden] = static_cast<T>(dh * tanh_c * out * (1 - out));
        o.dc0[state] = static_cast<T>(dc * f);
        hand_on(static_cast<T>(out * tanh_c));
      } else if (s.cell == CellKind::gru) {
        const double n = saved[0], r = saved[s.hidden];
        const double z = saved[2 * s.hidden], q = saved[3 * s.hidden];
        const double dn = dh * (1 - z) * (1 - n * n);
        T* const u_h = o.u_hh + row * s.gates() * s.hidden + unit;
        u[0] = u_h[0] = static_cast<T>(dn * q * r * (1 - r));
        u[s.hidden] = u_h[s.hidden] = static_cast<T>(dh * (saved_state - n) * z * (1 - z));
        u[2 * s.hidden] = static_cast<T>(dn);
        u_h[2 * s.hidden] = static_cast<T>(dn * r);
        o.dh0[state] = static_cast<T>(dh * z);
      } else {
        if (s.cell == CellKind::rnn_tanh) {
          u[0] = static_cast<T>(dh * (1 - saved_state * saved_state));
        } else {
          u[0] = static_cast<T>(saved_state <= 0 ? 0.0 : dh);
        }
        hand_on(o.saved_state[at]);
      }
    }
  }
};

}  // namespace

#define CNNEXT_DEFINE(type, name, Algorithm) \
  CNNEXT_DEFINE_KERNEL(RecurrenceShape, RecurrenceOperands<type>, name, Algorithm)

CNNEXT_DEFINE(float, recurrence_reference_f32, Forward<float>)
CNNEXT_DEFINE(float, recurrence_reference_bwd_f32, Backward<float>)
CNNEXT_DEFINE(double, recurrence_reference_f64, Forward<double>)
CNNEXT_DEFINE(double, recurrence_reference_bwd_f64, Backward<double>)

}  // namespace cnnext
