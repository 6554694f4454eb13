// SPDX-License-Identifier: BSD-3-Clause
#include "relu/select.h"

#include "common/kernel/cost.h"

namespace cnnext {
namespace {

double reference_cost(const ReluShape& s, int) {
  return static_cast<double>(s.size) / kReferenceMacsPerSecond;
}

double simd_cost(const ReluShape& s, int) {
  return static_cast<double>(s.size) / kMovedFloatsPerSecond;
}

}  // namespace

template <class T>
const std::vector<ReluKernel<T>>& relu_registry() {
  static const std::vector<ReluKernel<T>> kernels = [] {
    std::vector<ReluKernel<T>> list;
#define CNNEXT_KERNEL CNNEXT_REGISTRY_ENTRY
#include "relu/kernels.inc"
#undef CNNEXT_KERNEL
    return list;
  }();
  return kernels;
}

template const std::vector<ReluKernel<float>>& relu_registry();
template const std::vector<ReluKernel<double>>& relu_registry();

template <class T>
const ReluKernel<T>& select_relu(Pass pass, const ReluShape& shape, int threads) {
  return select_kernel("relu", relu_registry<T>(), pass, shape, threads);
}

template const ReluKernel<float>& select_relu(Pass, const ReluShape&, int);
template const ReluKernel<double>& select_relu(Pass, const ReluShape&, int);

std::string list_relu_kernels() {
  return list_kernels(relu_registry<float>()) + list_kernels(relu_registry<double>());
}

}  // namespace cnnext
