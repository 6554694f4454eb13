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
  // Packing a weight costs about as much as four rows' multiply-adds with it.
  constexpr double kPackingRows = 4;
  const double rows = static_cast<double>(s.m) + kPackingRows;
  return rows / static_cast<double>(s.m) * s.macs() / (tile_macs_per_second(isa) * threads);
}

// Loads two operands for every multiply-add, so it runs at half the rate of the tiles.
template <Isa isa>
double dot_cost(const LinearShape& s, int threads) {
  return 2 * s.macs() / (tile_macs_per_second(isa) * threads);
}

template <class T>
const std::vector<LinearKernel<T>>& registry() {
  static const std::vector<LinearKernel<T>> kernels = [] {
    std::vector<LinearKernel<T>> list;
#define CNNEXT_KERNEL CNNEXT_REGISTRY_ENTRY
#include "linear/kernels.inc"
#undef CNNEXT_KERNEL
    return list;
  }();
  return kernels;
}

}  // namespace

template <class T>
const LinearKernel<T>& select_linear(Pass pass, const LinearShape& shape, int threads) {
  return select_kernel("linear", registry<T>(), pass, shape, threads);
}

template const LinearKernel<float>& select_linear(Pass, const LinearShape&, int);
template const LinearKernel<double>& select_linear(Pass, const LinearShape&, int);

std::string list_linear_kernels() {
  return list_kernels(registry<float>()) + list_kernels(registry<double>());
}

}  // namespace cnnext
