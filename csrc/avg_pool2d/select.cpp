// SPDX-License-Identifier: BSD-3-Clause
#include "avg_pool2d/avg_pool2d.h"
#include "common/kernel/cost.h"
#include "common/kernel/registry.h"

namespace cnnext {
namespace {

template <Isa>
double reference_cost(const AvgPool2dShape& s, int threads) {
  return s.work() / (kReferenceMacsPerSecond * threads);
}

template <Isa>
double simd_cost(const AvgPool2dShape& s, int threads) {
  return s.work() / (kMovedFloatsPerSecond * threads);
}

}  // namespace

#define CNNEXT_KERNELS "avg_pool2d/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(AvgPool2d)

}  // namespace cnnext
