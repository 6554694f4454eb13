// SPDX-License-Identifier: BSD-3-Clause
// Predicted times of an epilogue alone: of memory, whatever the ISA.
#include "common/kernel/machine.h"
#include "common/kernel/registry.h"
#include "epilogue/finish.h"

namespace cnnext {
namespace {

template <Isa isa>
double reference_cost(const FinishShape& s, int) {
  return Finish::work(s) / rates(isa).reference_macs;
}

template <Isa isa>
double memory_cost(const FinishShape& s, int) {
  return Finish::work(s) / rates(isa).moved_floats;
}

}  // namespace

#define CNNEXT_KERNELS "epilogue/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(Finish)

}  // namespace cnnext
