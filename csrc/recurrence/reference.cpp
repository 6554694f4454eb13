// SPDX-License-Identifier: BSD-3-Clause
// recurrence as its contract says it, summed in double: the oracle, and the float64 path. A task is
// a sequence.
#include <cmath>

#include "recurrence/cells.h"
#include "recurrence/steps.h"

namespace cnnext {
namespace {

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
struct Unit : UnitPlace<T> {
  using Value = double;

  static double read(const T* p, int64_t at) { return static_cast<double>(p[at]); }
  static double read_or_zero(const T* p, int64_t at) { return value_or_zero(p, at); }
  static void write(T* p, int64_t at, double v) { p[at] = static_cast<T>(v); }
  static double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
  static double tanh(double x) { return std::tanh(x); }
};

template <class T>
struct Forward {
  static Plan plan(const RecurrenceShape& s, int) { return one_task_a_sequence(s); }

  static void run(const RecurrenceShape& s, const Plan&, const RecurrenceOperands<T>& o,
                  const Slice& slice) {
    with_cell(s.cell, [&](auto cell) {
      for (int64_t i = slice.begin; i < slice.end; ++i) {
        for (int64_t position = 0; position < s.steps; ++position) {
          const Step step = step_at(s, o, Pass::forward, position);
          if (i < step.count) take_step<decltype(cell)>(s, o, i, step);
        }
      }
    });
  }

 private:
  template <class Cell>
  static void take_step(const RecurrenceShape& s, const RecurrenceOperands<T>& o, int64_t i,
                        const Step& step) {
    const bool starts = i >= step.continuing;
    const T* const h = starts ? o.h0 + i * s.hidden : o.y + (step.before_row + i) * s.hidden;
    const T* const x = o.x + (step.row + i) * s.input;
    for (int64_t unit = 0; unit < s.hidden; ++unit) {
      const auto sum = [&](int k) {
        double result = 0.0;
        if (k < Cell::kXSums) {
          const int64_t j = Cell::x_gate(k) * s.hidden + unit;
          result += dot(x, o.w_ih + j * s.input, s.input) + value_or_zero(o.b_ih, j);
        }
        if (k >= Cell::kSums - Cell::kHSums) {
          const int64_t j = Cell::h_gate(k - Cell::kSums + Cell::kHSums) * s.hidden + unit;
          result += dot(h, o.w_hh + j * s.hidden, s.hidden) + value_or_zero(o.b_hh, j);
        }
        return result;
      };
      Cell::forward(o, Unit<T>{{s.hidden, step.row + i, i, unit, starts, h + unit}}, sum);
    }
  }
};

template <class T>
struct Backward {
  static Plan plan(const RecurrenceShape& s, int) { return one_task_a_sequence(s); }

  static void run(const RecurrenceShape& s, const Plan&, const RecurrenceOperands<T>& o,
                  const Slice& slice) {
    with_cell(s.cell, [&](auto cell) {
      for (int64_t i = slice.begin; i < slice.end; ++i) {
        for (int64_t position = 0; position <= s.steps; ++position) {
          const Step step = step_at(s, o, Pass::backward, position);
          if (i < step.count || i < step.before_count) take_step<decltype(cell)>(s, o, i, step);
        }
      }
    });
  }

 private:
  template <class Cell>
  static void take_step(const RecurrenceShape& s, const RecurrenceOperands<T>& o, int64_t i,
                        const Step& step) {
    const bool starts = i >= step.before_count;
    const T* const u = (o.u_hh == nullptr ? o.u : o.u_hh) +
                       (step.before_row + i) * s.gates() * s.hidden;  // of the step after
    for (int64_t unit = 0; unit < s.hidden; ++unit) {
      const Unit<T> at{{s.hidden, step.row + i, i, unit, starts, nullptr}};
      double dh = starts ? value_or_zero(o.dh_n, at.of_sequence()) : 0.0;
      if (!starts && o.w_hh != nullptr) {
        if (s.cell == CellKind::gru) dh = static_cast<double>(o.dh0[at.of_sequence()]);
        for (int64_t j = 0; j < s.gates() * s.hidden; ++j) {
          dh += static_cast<double>(u[j]) * static_cast<double>(o.w_hh[j * s.hidden + unit]);
        }
      }
      double h_next;
      if (i >= step.count) {
        if (o.dh0 != nullptr) o.dh0[at.of_sequence()] = static_cast<T>(dh);
        h_next = value_or_zero(o.h0, at.of_sequence());
      } else {
        h_next = Cell::backward(o, at, dh + value_or_zero(o.dy, at.of_row()));
      }
      if (starts || o.h_before == nullptr) continue;
      o.h_before[(step.before_row + i) * s.hidden + unit] = static_cast<T>(h_next);
    }
  }
};

}  // namespace

#define CNNEXT_KERNELS "recurrence/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
