// SPDX-License-Identifier: BSD-3-Clause
#include "common/kernel/cost.h"
#include "common/kernel/registry.h"
#include "max_pool2d/max_pool2d.h"

namespace cnnext {
namespace {

double comparisons(const MaxPool2dShape& s) {
  return static_cast<double>(s.n * s.c * s.h_out * s.w_out) * static_cast<double>(s.window());
}

template <Isa>
double reference_cost(const MaxPool2dShape& s, int threads) {
  return comparisons(s) / (kReferenceMacsPerSecond * threads);
}

// The vector kernels keep positions in a byte.
template <Isa>
double simd_cost(const MaxPool2dShape& s, int threads) {
  return s.record == Record::indices ? kNotApplicable
                                     : comparisons(s) / (kMovedFloatsPerSecond * threads);
}

}  // namespace

#define CNNEXT_KERNELS "max_pool2d/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(MaxPool2d)

}  // namespace cnnext
