// SPDX-License-Identifier: BSD-3-Clause
// Predicted times of pools: memory is the limit, whatever the ISA.
#include <cstdint>

#include "common/kernel/machine.h"
#include "common/kernel/registry.h"
#include "pooling/adaptive_avg_pool2d.h"
#include "pooling/adaptive_max_pool2d.h"
#include "pooling/avg_pool2d.h"
#include "pooling/max_pool2d.h"
#include "pooling/max_unpool2d.h"
#include "pooling/roi_pool.h"

namespace cnnext {
namespace {

template <Isa isa, class Shape>
double reference_cost(const Shape& s, int threads) {
  return s.work() / (rates(isa).reference_macs * threads);
}

template <Isa isa, class Shape>
double memory_cost(const Shape& s, int threads) {
  return s.work() / (rates(isa).moved_floats * threads);
}

// For kernels that keep positions in a byte.
template <Isa isa>
double offsets_cost(const MaxPool2dShape& s, int threads) {
  return s.record == Record::indices ? kNotApplicable : memory_cost<isa>(s, threads);
}

// For kernels that keep positions in 32 bits.
template <Isa isa>
double positions_cost(const AdaptivePoolShape& s, int threads) {
  return s.h_in > INT32_MAX / s.w_in ? kNotApplicable : memory_cost<isa>(s, threads);
}

}  // namespace

#define CNNEXT_KERNELS "pooling/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(AvgPool2d)
CNNEXT_REGISTER(AdaptiveAvgPool2d)
CNNEXT_REGISTER(MaxPool2d)
CNNEXT_REGISTER(AdaptiveMaxPool2d)
CNNEXT_REGISTER(MaxUnpool2d)
CNNEXT_REGISTER(RoiPool)

}  // namespace cnnext
