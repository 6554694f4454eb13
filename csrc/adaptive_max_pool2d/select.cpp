// SPDX-License-Identifier: BSD-3-Clause
#include "adaptive_max_pool2d/select.h"

#include <cstdint>

#include "common/kernel/cost.h"

namespace cnnext {
namespace {

double reference_cost(const AdaptivePoolShape& s, int threads) {
  return s.work() / (kReferenceMacsPerSecond * threads);
}

// The vector kernels keep positions in 32 bits.
double simd_cost(const AdaptivePoolShape& s, int threads) {
  if (s.h_in > INT32_MAX / s.w_in) return kNotApplicable;
  return s.work() / (kMovedFloatsPerSecond * threads);
}

double scatter_cost(const AdaptivePoolShape& s, int threads) {
  return s.work() / (kMovedFloatsPerSecond * threads);
}

}  // namespace

template <class T>
const std::vector<AdaptiveMaxPool2dKernel<T>>& adaptive_max_pool2d_registry() {
  static const std::vector<AdaptiveMaxPool2dKernel<T>> kernels = [] {
    std::vector<AdaptiveMaxPool2dKernel<T>> list;
#define CNNEXT_KERNEL CNNEXT_REGISTRY_ENTRY
#include "adaptive_max_pool2d/kernels.inc"
#undef CNNEXT_KERNEL
    return list;
  }();
  return kernels;
}

template const std::vector<AdaptiveMaxPool2dKernel<float>>& adaptive_max_pool2d_registry();
template const std::vector<AdaptiveMaxPool2dKernel<double>>& adaptive_max_pool2d_registry();

template <class T>
const AdaptiveMaxPool2dKernel<T>& select_adaptive_max_pool2d(Pass pass,
                                                             const AdaptivePoolShape& shape,
                                                             int threads) {
  return select_kernel("adaptive_max_pool2d", adaptive_max_pool2d_registry<T>(), pass, shape,
                       threads);
}

template const AdaptiveMaxPool2dKernel<float>& select_adaptive_max_pool2d(Pass,
                                                                          const AdaptivePoolShape&,
                                                                          int);
template const AdaptiveMaxPool2dKernel<double>& select_adaptive_max_pool2d(Pass,
                                                                           const AdaptivePoolShape&,
                                                                           int);

std::string list_adaptive_max_pool2d_kernels() {
  return list_kernels(adaptive_max_pool2d_registry<float>()) +
         list_kernels(adaptive_max_pool2d_registry<double>());
}

}  // namespace cnnext
