// SPDX-License-Identifier: BSD-3-Clause
// Predicted times of an epilogue alone: of memory, whatever the ISA.
#include "common/kernel/cost.h"
#include "common/kernel/registry.h"
#include "epilogue/finish.h"

namespace cnnext {
namespace {

template <Isa>
double reference_cost(const FinishShape& s, int) {
  return Finish::work(s) / kReferenceMacsPerSecond;
}

template <Isa>
double memory_cost(const FinishShape& s, int) {
  return Finish::work(s) / kMovedFloatsPerSecond;
}

}  // namespace

#define CNNEXT_KERNELS "epilogue/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(Finish)

}  // namespace cnnext
