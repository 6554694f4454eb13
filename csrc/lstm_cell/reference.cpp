// SPDX-License-Identifier: BSD-3-Clause
// lstm_cell as its contract says it, summed in double: the oracle, and the float64 path.
#include <cmath>

#include "lstm_cell/lstm_cell.h"

namespace cnnext {
namespace {

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

Plan one_task_a_row(const LSTMCellShape& s) {
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
struct Forward {
  static Plan plan(const LSTMCellShape& s, int) { return one_task_a_row(s); }

  static void run(const LSTMCellShape& s, const Plan&, const LSTMCellOperands<T>& o,
                  const Slice& slice) {
    for (int64_t row = slice.begin; row < slice.end; ++row) {
      T* const gates = o.gates + row * 4 * s.hidden;
      for (int64_t unit = 0; unit < s.hidden; ++unit) {
        double gate[4];
        for (int64_t q = 0; q < 4; ++q) {
          const int64_t j = q * s.hidden + unit;
          double z = dot(o.x + row * s.input, o.w_ih + j * s.input, s.input) +
                     dot(o.h + row * s.hidden, o.w_hh + j * s.hidden, s.hidden);
          if (o.b_ih != nullptr) {
            z += static_cast<double>(o.b_ih[j]) + static_cast<double>(o.b_hh[j]);
          }
          gate[q] = q == 2 ? std::tanh(z) : sigmoid(z);
          gates[j] = static_cast<T>(gate[q]);
        }
        const int64_t at = row * s.hidden + unit;
        const double c = gate[1] * static_cast<double>(o.c[at]) + gate[0] * gate[2];
        o.c_next[at] = static_cast<T>(c);
        o.h_next[at] = static_cast<T>(gate[3] * std::tanh(c));
      }
    }
  }
};

template <class T>
struct Backward {
  static Plan plan(const LSTMCellShape& s, int) { return one_task_a_row(s); }

  static void run(const LSTMCellShape& s, const Plan&, const LSTMCellOperands<T>& o,
                  const Slice& slice) {
    for (int64_t row = slice.begin; row < slice.end; ++row) {
      const T* const gates = o.gates + row * 4 * s.hidden;
      T* const dz = o.dz + row * 4 * s.hidden;
      for (int64_t unit = 0; unit < s.hidden; ++unit) {
        const int64_t at = row * s.hidden + unit;
        const double i = gates[unit], f = gates[s.hidden + unit];
        const double g = gates[2 * s.hidden + unit], out = gates[3 * s.hidden + unit];
        const double tanh_c = std::tanh(f * static_cast<double>(o.c[at]) + i * g);
        const double dh = o.dh_next == nullptr ? 0.0 : static_cast<double>(o.dh_next[at]);
        const double dc = (o.dc_next == nullptr ? 0.0 : static_cast<double>(o.dc_next[at])) +
                          dh * out * (1 - tanh_c * tanh_c);
        dz[unit] = static_cast<T>(dc * g * i * (1 - i));
        dz[s.hidden + unit] = static_cast<T>(dc * static_cast<double>(o.c[at]) * f * (1 - f));
        dz[2 * s.hidden + unit] = static_cast<T>(dc * i * (1 - g * g));
        dz[3 * s.hidden + unit] = static_cast<T>(dh * tanh_c * out * (1 - out));
        o.dc[at] = static_cast<T>(dc * f);
      }
    }
  }
};

}  // namespace

#define CNNEXT_DEFINE(type, name, Algorithm) \
  CNNEXT_DEFINE_KERNEL(LSTMCellShape, LSTMCellOperands<type>, name, Algorithm)

CNNEXT_DEFINE(float, lstm_cell_reference_f32, Forward<float>)
CNNEXT_DEFINE(float, lstm_cell_reference_bwd_f32, Backward<float>)
CNNEXT_DEFINE(double, lstm_cell_reference_f64, Forward<double>)
CNNEXT_DEFINE(double, lstm_cell_reference_bwd_f64, Backward<double>)

}  // namespace cnnext
