// SPDX-License-Identifier: BSD-3-Clause
// Predicted times of element-wise operators: memory is the limit, whatever the ISA.
#include "common/kernel/machine.h"
#include "common/kernel/registry.h"
#include "elementwise/dropout.h"
#include "elementwise/operators.h"

namespace cnnext {
namespace {

template <Isa isa, class Shape>
double reference_cost(const Shape& s, int) {
  return static_cast<double>(s.size) / rates(isa).reference_macs;
}

template <Isa isa, class Shape>
double memory_cost(const Shape& s, int) {
  return static_cast<double>(s.size) / rates(isa).moved_floats;
}

}  // namespace

#define CNNEXT_KERNELS "elementwise/kernels.inc"
#include "common/kernel/register_kernels.inc"

#define CNNEXT_REGISTER_OPERATOR(Op, op) CNNEXT_REGISTER(Op)
CNNEXT_FOR_ELEMENTWISE(CNNEXT_REGISTER_OPERATOR)
CNNEXT_REGISTER(Dropout)

}  // namespace cnnext
