// SPDX-License-Identifier: BSD-3-Clause
#include <cstdint>

#include "adaptive_max_pool2d/adaptive_max_pool2d.h"
#include "common/kernel/cost.h"
#include "common/kernel/registry.h"

namespace cnnext {
namespace {

template <Isa>
double reference_cost(const AdaptivePoolShape& s, int threads) {
  return s.work() / (kReferenceMacsPerSecond * threads);
}

// The vector kernels keep positions in 32 bits.
template <Isa>
double simd_cost(const AdaptivePoolShape& s, int threads) {
  if (s.h_in > INT32_MAX / s.w_in) return kNotApplicable;
  return s.work() / (kMovedFloatsPerSecond * threads);
}

template <Isa>
double scatter_cost(const AdaptivePoolShape& s, int threads) {
  return s.work() / (kMovedFloatsPerSecond * threads);
}

}  // namespace

#define CNNEXT_KERNELS "adaptive_max_pool2d/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(AdaptiveMaxPool2d)

}  // namespace cnnext
