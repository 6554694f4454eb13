// SPDX-License-Identifier: BSD-3-Clause
#include "linear/select.h"

#include "common/cost.h"

namespace cnnext {
namespace {

double reference_cost(const LinearShape& s, int threads) {
  return s.macs() / (kReferenceMacsPerSecond * threads);
}

template <Isa isa>
double gemm_cost(const LinearShape& s, int threads) {
  // Packing a weight costs about as much as eight rows' multiply-adds with it.
  constexpr double kPackingRows = 8;
  const double rows = static_cast<double>(s.m) + kPackingRows;
  return rows / static_cast<double>(s.m) * s.macs() / (tile_macs_per_second(isa) * threads);
}

// Loads one operand for every two multiply-adds, which costs the load ports about this much.
template <Isa isa>
double dot_cost(const LinearShape& s, int threads) {
  return 1.4 * s.macs() / (tile_macs_per_second(isa) * threads);
}

}  // namespace

template <class T>
const std::vector<LinearKernel<T>>& linear_registry() {
  static const std::vector<LinearKernel<T>> kernels = [] {
    std::vector<LinearKernel<T>> list;
#define CNNEXT_KERNEL CNNEXT_REGISTRY_ENTRY
#include "linear/kernels.inc"
#undef CNNEXT_KERNEL
    return list;
  }();
  return kernels;
}

template const std::vector<LinearKernel<float>>& linear_registry();
template const std::vector<LinearKernel<double>>& linear_registry();

template <class T>
const LinearKernel<T>& select_linear(Pass pass, const LinearShape& shape, int threads) {
  return select_kernel("linear", linear_registry<T>(), pass, shape, threads);
}

template const LinearKernel<float>& select_linear(Pass, const LinearShape&, int);
template const LinearKernel<double>& select_linear(Pass, const LinearShape&, int);

std::string list_linear_kernels() {
  return list_kernels(linear_registry<float>()) + list_kernels(linear_registry<double>());
}

}  // namespace cnnext
