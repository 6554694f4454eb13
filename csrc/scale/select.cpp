// SPDX-License-Identifier: BSD-3-Clause
// Predicted times of scaling: of memory, whatever the ISA.
#include "common/kernel/machine.h"
#include "common/kernel/registry.h"
#include "scale/scale.h"

namespace cnnext {
namespace {

template <Isa isa>
double reference_cost(const ScaleShape& s, int) {
  return Scale::work(s) / rates(isa).reference_macs;
}

template <Isa isa>
double memory_cost(const ScaleShape& s, int) {
  return Scale::work(s) / rates(isa).moved_floats;
}

}  // namespace

#define CNNEXT_KERNELS "scale/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(Scale)

}  // namespace cnnext
