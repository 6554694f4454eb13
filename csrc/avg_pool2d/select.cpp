// SPDX-License-Identifier: BSD-3-Clause
#include "avg_pool2d/select.h"

#include "common/kernel/cost.h"

namespace cnnext {
namespace {

double reference_cost(const AvgPool2dShape& s, int threads) {
  return s.work() / (kReferenceMacsPerSecond * threads);
}

double simd_cost(const AvgPool2dShape& s, int threads) {
  return s.work() / (kMovedFloatsPerSecond * threads);
}

}  // namespace

template <class T>
const std::vector<AvgPool2dKernel<T>>& avg_pool2d_registry() {
  static const std::vector<AvgPool2dKernel<T>> kernels = [] {
    std::vector<AvgPool2dKernel<T>> list;
#define CNNEXT_KERNEL CNNEXT_REGISTRY_ENTRY
#include "avg_pool2d/kernels.inc"
#undef CNNEXT_KERNEL
    return list;
  }();
  return kernels;
}

template const std::vector<AvgPool2dKernel<float>>& avg_pool2d_registry();
template const std::vector<AvgPool2dKernel<double>>& avg_pool2d_registry();

template <class T>
const AvgPool2dKernel<T>& select_avg_pool2d(Pass pass, const AvgPool2dShape& shape, int threads) {
  return select_kernel("avg_pool2d", avg_pool2d_registry<T>(), pass, shape, threads);
}

template const AvgPool2dKernel<float>& select_avg_pool2d(Pass, const AvgPool2dShape&, int);
template const AvgPool2dKernel<double>& select_avg_pool2d(Pass, const AvgPool2dShape&, int);

std::string list_avg_pool2d_kernels() {
  return list_kernels(avg_pool2d_registry<float>()) + list_kernels(avg_pool2d_registry<double>());
}

}  // namespace cnnext
