// SPDX-License-Identifier: BSD-3-Clause
#include "lstm_cell/select.h"

#include "gemm/cost.h"

namespace cnnext {
namespace {

double reference_cost(const LSTMCellShape& s, int threads) {
  return s.macs() / (kReferenceMacsPerSecond * threads);
}

template <Isa isa>
double gemm_cost(const LSTMCellShape& s, int threads) {
  return blocked_seconds(s.batch, s.macs(), isa, threads);
}

template <Isa isa>
double dot_cost(const LSTMCellShape& s, int threads) {
  return dot_seconds(s.batch, s.macs(), isa, threads);
}

double pointwise_cost(const LSTMCellShape& s, int) {
  return static_cast<double>(s.batch * s.hidden) / kMovedFloatsPerSecond;
}

}  // namespace

template <class T>
const std::vector<LSTMCellKernel<T>>& lstm_cell_registry() {
  static const std::vector<LSTMCellKernel<T>> kernels = [] {
    std::vector<LSTMCellKernel<T>> list;
#define CNNEXT_KERNEL CNNEXT_REGISTRY_ENTRY
#include "lstm_cell/kernels.inc"
#undef CNNEXT_KERNEL
    return list;
  }();
  return kernels;
}

template const std::vector<LSTMCellKernel<float>>& lstm_cell_registry();
template const std::vector<LSTMCellKernel<double>>& lstm_cell_registry();

template <class T>
const LSTMCellKernel<T>& select_lstm_cell(Pass pass, const LSTMCellShape& shape, int threads) {
  return select_kernel("lstm_cell", lstm_cell_registry<T>(), pass, shape, threads);
}

template const LSTMCellKernel<float>& select_lstm_cell(Pass, const LSTMCellShape&, int);
template const LSTMCellKernel<double>& select_lstm_cell(Pass, const LSTMCellShape&, int);

std::string list_lstm_cell_kernels() {
  return lines_of(lstm_cell_registry<float>()) + lines_of(lstm_cell_registry<double>());
}

}  // namespace cnnext
