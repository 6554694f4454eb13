// SPDX-License-Identifier: BSD-3-Clause
// Predicted times of the operators of this folder: of memory, whatever the ISA.
#include "common/kernel/machine.h"
#include "common/kernel/registry.h"
#include "reorder/depth_windows.h"
#include "reorder/pad.h"
#include "reorder/reorder.h"
#include "reorder/shuffle.h"

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

template <Isa isa>
double reference_cost(const PadShape& s, int) {
  return Pad::work(s) / rates(isa).reference_macs;
}

template <Isa isa>
double memory_cost(const PadShape& s, int threads) {
  return Pad::work(s) / rates(isa).moved_floats / threads;
}

template <Isa isa>
double reference_cost(const ShuffleShape& s, int) {
  return Shuffle::work(s) / rates(isa).reference_macs;
}

template <Isa isa>
double memory_cost(const ShuffleShape& s, int threads) {
  return Shuffle::work(s) / rates(isa).transposed_floats / threads;
}

template <Isa isa>
double reference_cost(const DepthWindowsShape& s, int) {
  return DepthWindows::work(s) / rates(isa).reference_macs;
}

template <Isa isa>
double memory_cost(const DepthWindowsShape& s, int threads) {
  return DepthWindows::work(s) / rates(isa).moved_floats / threads;
}

}  // namespace

#define CNNEXT_KERNELS "reorder/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(Reorder)
CNNEXT_REGISTER(Pad)
CNNEXT_REGISTER(Shuffle)
CNNEXT_REGISTER(DepthWindows)

}  // namespace cnnext
