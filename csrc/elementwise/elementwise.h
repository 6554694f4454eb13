// SPDX-License-Identifier: BSD-3-Clause
// Element-wise operators: the contract between their kernels and their adapters.
//
//   y[i] = Op::forward(x[i], parameters)     dx[i] = Op::backward(dy[i], saved[i], parameters)
//
// Flat arrays of `size` elements; y may be x, dx may be dy. An operator is a struct with these two
// formulas, written once for numbers and vectors, in a header of its own (relu.h), and a line of
// operators.h: its kernels, adapters and bindings follow from that.
#pragma once

#include <cstdint>

#include "common/kernel/kernel.h"

namespace cnnext {

// An operator's own struct has kCount numbers of type double instead, and their names, as in
// `double negative_slope`.
struct NoParameters {
  static constexpr int kCount = 0;
  static constexpr const char* const* kNames = nullptr;
};

template <class Op>
struct ElementwiseShape {
  int64_t size;
  typename Op::Parameters parameters;
};

//              first   second   result
//   forward    x       -        y
//   bwd_input  dy      saved    dx
template <class T>
struct ElementwiseOperands {
  const T* first;
  const T* second;
  T* result;
};

// What the struct of an operator derives from, and may replace.
template <class Op>
struct ElementwiseOperator {
  using Parameters = NoParameters;
  static constexpr bool kInPlace = true;  // whether torch's function has a form in place
  using Shape = ElementwiseShape<Op>;
  template <class T>
  using Operands = ElementwiseOperands<T>;
  static double work(const Shape& s) { return static_cast<double>(s.size); }
};

// `value` as a number, or as each element of a vector of floats.
template <class V>
CNNEXT_INLINE V constant(double value) {
  if constexpr (sizeof(V) > sizeof(double)) {
    return static_cast<float>(value) - V{};  // unlike + this keeps the sign of -0
  } else {
    return static_cast<V>(value);
  }
}

// sigmoid(x) and tanh(x) of a V. What runs the formulas defines them: the reference by the standard
// library, kernels on vectors, CUDA.
namespace {
template <class V>
struct Transcendental;
}

// An element of a pass's result, or a vector of them.
template <class Op, Pass kPass, class V>
CNNEXT_INLINE V evaluate(V first, V second, const typename Op::Parameters& parameters) {
  if constexpr (kPass == Pass::forward) {
    return Op::forward(first, parameters);
  } else {
    return Op::backward(first, second, parameters);
  }
}

}  // namespace cnnext
