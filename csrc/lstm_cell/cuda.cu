// SPDX-License-Identifier: BSD-3-Clause
// The gates of lstm_cell, a thread a unit of the batch: it adds up its four gates, and no value
// between them and the new state goes through memory. The gates are kept for the backward pass.
#include "common/cuda/launch.h"
#include "common/kernel/divisor.h"
#include "lstm_cell/cuda.h"

namespace cnnext {
namespace {

__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ float hyperbolic_tangent(float x) { return tanhf(x); }
__device__ __forceinline__ double hyperbolic_tangent(double x) { return tanh(x); }

template <class Value>
__device__ __forceinline__ Value sigmoid(Value x) {
  return 1 / (1 + exponential(-x));
}

// Where the gates i, f, g, o of a unit lie in a matrix of (batch x 4 hidden).
struct GatePositions {
  int64_t first, hidden;
  CNNEXT_INLINE int64_t operator[](int gate) const { return first + gate * hidden; }
};

template <class T>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    forward(int64_t size, Divisor hidden, const T* x_product, const T* h_product,
            LSTMCellOperands<T> o) {
  using Value = Accumulator<T>;
  const int64_t at = global_thread();
  if (at >= size) return;
  const int64_t row = hidden.quotient(at), unit = at - row * hidden.divisor();
  const GatePositions positions{at + 3 * row * hidden.divisor(), hidden.divisor()};
  Value gate[4];
#pragma unroll
  for (int q = 0; q < 4; ++q) {
    const int64_t z = positions[q], bias = unit + q * hidden.divisor();
    gate[q] = widen(x_product[z]) + widen(h_product[z]);
    if (o.b_ih != nullptr) gate[q] += widen(o.b_ih[bias]) + widen(o.b_hh[bias]);
    gate[q] = q == 2 ? hyperbolic_tangent(gate[q]) : sigmoid(gate[q]);
    o.gates[z] = narrow<T>(gate[q]);
  }
  const Value c = gate[1] * widen(o.c[at]) + gate[0] * gate[2];
  o.c_next[at] = narrow<T>(c);
  o.h_next[at] = narrow<T>(gate[3] * hyperbolic_tangent(c));
}

template <class T>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    backward(int64_t size, Divisor hidden, LSTMCellOperands<T> o) {
  using Value = Accumulator<T>;
  const int64_t at = global_thread();
  if (at >= size) return;
  const GatePositions positions{at + 3 * hidden.quotient(at) * hidden.divisor(), hidden.divisor()};
  const Value i = widen(o.gates[positions[0]]), f = widen(o.gates[positions[1]]);
  const Value g = widen(o.gates[positions[2]]), out = widen(o.gates[positions[3]]);
  const Value c = widen(o.c[at]), tanh_c = hyperbolic_tangent(f * c + i * g);
  const Value dh = o.dh_next == nullptr ? Value(0) : Value(widen(o.dh_next[at]));
  Value dc = o.dc_next == nullptr ? Value(0) : Value(widen(o.dc_next[at]));
  dc += dh * out * (1 - tanh_c * tanh_c);
  o.dz[positions[0]] = narrow<T>(dc * g * i * (1 - i));
  o.dz[positions[1]] = narrow<T>(dc * c * f * (1 - f));
  o.dz[positions[2]] = narrow<T>(dc * i * (1 - g * g));
  o.dz[positions[3]] = narrow<T>(dh * tanh_c * out * (1 - out));
  o.dc[at] = narrow<T>(dc * f);
}

}  // namespace

template <class T>
void lstm_cell_cuda_forward(const LSTMCellShape& s, const T* x_product, const T* h_product,
                            const LSTMCellOperands<T>& o, cudaStream_t stream) {
  const int64_t size = s.batch * s.hidden;
  launch_elements(&forward<T>, size, stream, size, Divisor(s.hidden), x_product, h_product, o);
}

template <class T>
void lstm_cell_cuda_backward(const LSTMCellShape& s, const LSTMCellOperands<T>& o,
                             cudaStream_t stream) {
  const int64_t size = s.batch * s.hidden;
  launch_elements(&backward<T>, size, stream, size, Divisor(s.hidden), o);
}

#define CNNEXT_INSTANTIATE(T)                                                                \
  template void lstm_cell_cuda_forward<T>(const LSTMCellShape&, const T*, const T*,          \
                                          const LSTMCellOperands<T>&, cudaStream_t);         \
  template void lstm_cell_cuda_backward<T>(const LSTMCellShape&, const LSTMCellOperands<T>&, \
                                           cudaStream_t);
CNNEXT_FOR_CUDA_TYPES(CNNEXT_INSTANTIATE)

}  // namespace cnnext
