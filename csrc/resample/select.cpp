// SPDX-License-Identifier: BSD-3-Clause
// Predicted times of resampling: of memory, whatever the ISA.
#include "common/kernel/machine.h"
#include "common/kernel/registry.h"
#include "resample/resample.h"

namespace cnnext {
namespace {

template <Isa isa>
double reference_cost(const ResampleShape& s, int) {
  return Resample::work(s) / rates(isa).reference_macs;
}

template <Isa isa>
double memory_cost(const ResampleShape& s, int threads) {
  return Resample::work(s) / rates(isa).moved_floats / threads;
}

}  // namespace

#define CNNEXT_KERNELS "resample/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(Resample)

}  // namespace cnnext
