// SPDX-License-Identifier: BSD-3-Clause
#include "max_pool2d/select.h"

#include "common/kernel/cost.h"

namespace cnnext {
namespace {

double comparisons(const MaxPool2dShape& s) {
  return static_cast<double>(s.n * s.c * s.h_out * s.w_out) * static_cast<double>(s.window());
}

double reference_cost(const MaxPool2dShape& s, int threads) {
  return comparisons(s) / (kReferenceMacsPerSecond * threads);
}

// The vector kernels keep positions in a byte.
double simd_cost(const MaxPool2dShape& s, int threads) {
  return s.record == Record::indices ? kNotApplicable
                                     : comparisons(s) / (kMovedFloatsPerSecond * threads);
}

}  // namespace

template <class T>
const std::vector<MaxPool2dKernel<T>>& max_pool2d_registry() {
  static const std::vector<MaxPool2dKernel<T>> kernels = [] {
    std::vector<MaxPool2dKernel<T>> list;
#define CNNEXT_KERNEL CNNEXT_REGISTRY_ENTRY
#include "max_pool2d/kernels.inc"
#undef CNNEXT_KERNEL
    return list;
  }();
  return kernels;
}

template const std::vector<MaxPool2dKernel<float>>& max_pool2d_registry();
template const std::vector<MaxPool2dKernel<double>>& max_pool2d_registry();

template <class T>
const MaxPool2dKernel<T>& select_max_pool2d(Pass pass, const MaxPool2dShape& shape, int threads) {
  return select_kernel("max_pool2d", max_pool2d_registry<T>(), pass, shape, threads);
}

template const MaxPool2dKernel<float>& select_max_pool2d(Pass, const MaxPool2dShape&, int);
template const MaxPool2dKernel<double>& select_max_pool2d(Pass, const MaxPool2dShape&, int);

std::string list_max_pool2d_kernels() {
  return list_kernels(max_pool2d_registry<float>()) + list_kernels(max_pool2d_registry<double>());
}

}  // namespace cnnext
