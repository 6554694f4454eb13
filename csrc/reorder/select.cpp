// SPDX-License-Identifier: BSD-3-Clause
// Predicted times of reordering: of memory, whatever the ISA.
#include "common/kernel/machine.h"
#include "common/kernel/registry.h"
#include "reorder/reorder.h"

namespace cnnext {
namespace {

template <Isa isa>
double reference_cost(const ReorderShape& s, int) {
  return Reorder::work(s) / rates(isa).reference_macs;
}

template <Isa isa>
double memory_cost(const ReorderShape& s, int threads) {
  const Rates& r = rates(isa);
  return Reorder::work(s) / (s.from == s.to ? r.moved_floats : r.transposed_floats) / threads;
}

}  // namespace

#define CNNEXT_KERNELS "reorder/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(Reorder)

}  // namespace cnnext
