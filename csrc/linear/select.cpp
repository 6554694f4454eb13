// SPDX-License-Identifier: BSD-3-Clause
#include "linear/select.h"

#include "gemm/cost.h"

namespace cnnext {
namespace {

double reference_cost(const LinearShape& s, int threads) {
  return s.macs() / (kReferenceMacsPerSecond * threads);
}

template <Isa isa>
double gemm_cost(const LinearShape& s, int threads) {
  return blocked_seconds(s.m, s.macs(), isa, threads);
}

template <Isa isa>
double transposed_cost(const LinearShape& s, int threads) {
  return transposed_seconds(s.m, s.n, s.k, isa, threads);
}

template <Isa isa>
double dot_cost(const LinearShape& s, int threads) {
  return dot_seconds(s.m, s.macs(), isa, threads);
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
