// SPDX-License-Identifier: BSD-3-Clause
#include "common/kernel/registry.h"
#include "gemm/cost.h"
#include "linear/linear.h"

namespace cnnext {
namespace {

template <Isa isa>
double reference_cost(const LinearShape& s, int threads) {
  return s.macs() / (rates(isa).reference_macs * threads);
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

#define CNNEXT_KERNELS "linear/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(Linear)

}  // namespace cnnext
