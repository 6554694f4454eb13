// SPDX-License-Identifier: BSD-3-Clause
#include "common/kernel/cost.h"
#include "common/kernel/registry.h"
#include "relu/relu.h"

namespace cnnext {
namespace {

template <Isa>
double reference_cost(const ReluShape& s, int) {
  return static_cast<double>(s.size) / kReferenceMacsPerSecond;
}

template <Isa>
double simd_cost(const ReluShape& s, int) {
  return static_cast<double>(s.size) / kMovedFloatsPerSecond;
}

}  // namespace

#define CNNEXT_KERNELS "relu/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(Relu)

}  // namespace cnnext
