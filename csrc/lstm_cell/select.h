// SPDX-License-Identifier: BSD-3-Clause
// Which lstm_cell kernel runs: a pure function of shape, ISA and threads (and of a forced name).
#pragma once

#include <string>
#include <vector>

#include "common/kernel/registry.h"
#include "lstm_cell/lstm_cell.h"

namespace cnnext {

template <class T>
using LSTMCellKernel = Kernel<LSTMCellShape, LSTMCellOperands<T>>;

// T is float or double. Throws std::runtime_error if a forced kernel does not apply.
template <class T>
const LSTMCellKernel<T>& select_lstm_cell(Pass pass, const LSTMCellShape& shape, int threads);

// All kernels whose elements are of type T, float or double.
template <class T>
const std::vector<LSTMCellKernel<T>>& lstm_cell_registry();

struct LSTMCell {
  static constexpr const char* kName = "lstm_cell";
  using Shape = LSTMCellShape;
  template <class T>
  using Operands = LSTMCellOperands<T>;
};

template <>
inline const std::vector<LSTMCellKernel<float>>& registry<LSTMCell, float>() {
  return lstm_cell_registry<float>();
}
template <>
inline const std::vector<LSTMCellKernel<double>>& registry<LSTMCell, double>() {
  return lstm_cell_registry<double>();
}

// All of the registry, "name pass isa" a line.
std::string list_lstm_cell_kernels();

}  // namespace cnnext
