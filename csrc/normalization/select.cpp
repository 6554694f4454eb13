// SPDX-License-Identifier: BSD-3-Clause
// Predicted times of normalisations: memory is the limit, whatever the ISA.
#include "common/kernel/machine.h"
#include "common/kernel/registry.h"
#include "normalization/batch_norm.h"

namespace cnnext {
namespace {

constexpr int kPasses = 3;  // over x: for statistics or sums, to read it again, to write

template <Isa isa>
double reference_cost(const BatchNormShape& s, int) {
  return BatchNorm::work(s) / rates(isa).reference_macs;
}

template <Isa isa>
double memory_cost(const BatchNormShape& s, int threads) {
  return kPasses * static_cast<double>(s.size()) / (rates(isa).moved_floats * threads);
}

template <Isa isa>
double planes_cost(const BatchNormShape& s, int threads) {
  return s.layout == Layout::nchw ? memory_cost<isa>(s, threads) : kNotApplicable;
}

template <Isa isa>
double pixels_cost(const BatchNormShape& s, int threads) {
  return s.layout == Layout::channels_last ? memory_cost<isa>(s, threads) : kNotApplicable;
}

}  // namespace

#define CNNEXT_KERNELS "normalization/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(BatchNorm)

}  // namespace cnnext
