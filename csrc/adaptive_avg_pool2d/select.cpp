// SPDX-License-Identifier: BSD-3-Clause
#include "adaptive_avg_pool2d/select.h"

#include "common/kernel/cost.h"

namespace cnnext {
namespace {

double reference_cost(const AdaptivePoolShape& s, int threads) {
  return s.work() / (kReferenceMacsPerSecond * threads);
}

double simd_cost(const AdaptivePoolShape& s, int threads) {
  return s.work() / (kMovedFloatsPerSecond * threads);
}

}  // namespace

template <class T>
const std::vector<AdaptiveAvgPool2dKernel<T>>& adaptive_avg_pool2d_registry() {
  static const std::vector<AdaptiveAvgPool2dKernel<T>> kernels = [] {
    std::vector<AdaptiveAvgPool2dKernel<T>> list;
#define CNNEXT_KERNEL CNNEXT_REGISTRY_ENTRY
#include "adaptive_avg_pool2d/kernels.inc"
#undef CNNEXT_KERNEL
    return list;
  }();
  return kernels;
}

template const std::vector<AdaptiveAvgPool2dKernel<float>>& adaptive_avg_pool2d_registry();
template const std::vector<AdaptiveAvgPool2dKernel<double>>& adaptive_avg_pool2d_registry();

template <class T>
const AdaptiveAvgPool2dKernel<T>& select_adaptive_avg_pool2d(Pass pass,
                                                             const AdaptivePoolShape& shape,
                                                             int threads) {
  return select_kernel("adaptive_avg_pool2d", adaptive_avg_pool2d_registry<T>(), pass, shape,
                       threads);
}

template const AdaptiveAvgPool2dKernel<float>& select_adaptive_avg_pool2d(Pass,
                                                                          const AdaptivePoolShape&,
                                                                          int);
template const AdaptiveAvgPool2dKernel<double>& select_adaptive_avg_pool2d(Pass,
                                                                           const AdaptivePoolShape&,
                                                                           int);

std::string list_adaptive_avg_pool2d_kernels() {
  return list_kernels(adaptive_avg_pool2d_registry<float>()) +
         list_kernels(adaptive_avg_pool2d_registry<double>());
}

}  // namespace cnnext
