// SPDX-License-Identifier: BSD-3-Clause
// The gates of one step of a recurrence, a thread a unit of the batch: it adds up its sums, and no
// value between them and the new state goes through memory. The gates are kept for the backward
// pass.
#include "common/cuda/launch.h"
#include "common/cuda/math.h"
#include "common/cuda/operator.h"
#include "common/kernel/divisor.h"
#include "recurrence/cells.h"

namespace cnnext {
namespace {

template <class T>
struct Unit : UnitPlace<T> {
  using Value = Accumulator<T>;

  CNNEXT_INLINE static Value read(const T* p, int64_t at) { return widen(p[at]); }
  CNNEXT_INLINE static Value read_or_zero(const T* p, int64_t at) {
    return p == nullptr ? Value(0) : Value(widen(p[at]));
  }
  CNNEXT_INLINE static void write(T* p, int64_t at, Value v) { p[at] = narrow<T>(v); }
  CNNEXT_INLINE static Value sigmoid(Value x) { return logistic(x); }
  CNNEXT_INLINE static Value tanh(Value x) { return hyperbolic_tangent(x); }
};

// The unit at a position in a matrix of (batch x hidden).
template <class T>
CNNEXT_INLINE Unit<T> unit_at(int64_t position, const Divisor& hidden, const T* h) {
  const int64_t row = hidden.quotient(position), unit = position - row * hidden.divisor();
  return {{hidden.divisor(), row, row, unit, true, h}};
}

// What one of the two products adds to a sum, if it does.
template <class T>
struct Term {
  bool exists;
  int gate;
  const T *products, *biases;

  CNNEXT_INLINE Accumulator<T> product(const Unit<T>& at, int64_t gates) const {
    return exists ? at.read(products, at.of_block(gate, gates)) : Accumulator<T>(0);
  }
  CNNEXT_INLINE Accumulator<T> bias(const Unit<T>& at) const {
    return exists ? at.read(biases, gate * at.hidden + at.unit) : Accumulator<T>(0);
  }
};

template <class T, class Cell>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    forward(int64_t size, int64_t gates, Divisor hidden, RecurrenceOperands<T> o) {
  const int64_t position = global_thread();
  if (position >= size) return;
  const Unit<T> at = unit_at<T>(position, hidden, o.h0 + position);
  const auto sum = [&](int i) {
    const Term<T> of_x{i < Cell::kXSums, Cell::x_gate(i), o.x_product, o.b_ih};
    const int j = i - (Cell::kSums - Cell::kHSums);
    const Term<T> of_h{j >= 0, Cell::h_gate(j), o.h_product, o.b_hh};
    Accumulator<T> result = of_x.product(at, gates) + of_h.product(at, gates);
    if (o.b_ih != nullptr) result += of_x.bias(at) + of_h.bias(at);
    return result;
  };
  Cell::forward(o, at, sum);
}

template <class T, class Cell>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    backward(int64_t size, Divisor hidden, RecurrenceOperands<T> o) {
  const int64_t position = global_thread();
  if (position >= size) return;
  const Unit<T> at = unit_at<T>(position, hidden, nullptr);
  Cell::backward(o, at, at.read_or_zero(o.dy, position));
}

// One step: forward from the products of x and h0, or backward without w_hh.
template <class T>
void run(Pass pass, const RecurrenceShape& s, const RecurrenceOperands<T>& o, cudaStream_t stream) {
  const int64_t size = s.batch * s.hidden;
  const Divisor hidden(s.hidden);
  if (pass == Pass::forward) {
    launch_elements(&forward<T, LSTM>, size, stream, size, s.gates(), hidden, o);
  } else {
    launch_elements(&backward<T, LSTM>, size, stream, size, hidden, o);
  }
}

}  // namespace

CNNEXT_LAUNCH(Recurrence, run)

}  // namespace cnnext
