// SPDX-License-Identifier: BSD-3-Clause
// Predicted times of softmax.
#include "common/kernel/machine.h"
#include "common/kernel/registry.h"
#include "softmax/softmax.h"

namespace cnnext {
namespace {

template <Isa isa>
double reference_cost(const SoftmaxShape& s, int) {
  return Softmax::work(s) / rates(isa).reference_macs;
}

// It is read three times, and has an exponential.
template <Isa isa>
double vector_cost(const SoftmaxShape& s, int threads) {
  const Rates& r = rates(isa);
  const double floats = static_cast<double>(s.pixels * round_up(s.c, simd_lanes(isa)));
  return (3 * floats / r.moved_floats + Softmax::work(s) / r.tile_macs) / threads;
}

}  // namespace

#define CNNEXT_KERNELS "softmax/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(Softmax)

}  // namespace cnnext
