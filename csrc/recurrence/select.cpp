// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "common/kernel/cost.h"
#include "common/kernel/registry.h"
#include "gemm/cost.h"
#include "recurrence/recurrence.h"

namespace cnnext {
namespace {

constexpr double kPackedFloatsPerSecond = 2e9;
constexpr double kRegionSeconds = 2.5e-6;  // to start the threads on a round, and to wait for them
constexpr double kNearFloats = 256 << 10;  // of weights, that stay in a core's own caches
constexpr double kFarFloatsPerSecond = 3e9;
constexpr int64_t kSequencesPerTask = 6;
constexpr int64_t kUnitsPerTask = 16;

// How fast a core multiplies with weights, packed or not, and reads them. Those of several steps
// come from its own caches; a single step is a product as linear's, whose weights come from memory.
struct Rates {
  double macs, floats;
};
Rates packed_rates(const RecurrenceShape& s, Isa isa) {
  return {(s.steps == 1 ? kBlockedRate : 0.85) * tile_macs_per_second(isa), 2e10};
}
Rates dot_rates(const RecurrenceShape& s, Isa isa) {
  if (s.steps == 1) return {kDotRate * tile_macs_per_second(isa), kStreamedWeightsPerSecond};
  return {0.5 * tile_macs_per_second(isa), 1e10};
}

double packing_seconds(const RecurrenceShape& s, double weights) {
  return weights / (s.steps == 1 ? kPackedWeightsPerSecond : kPackedFloatsPerSecond);
}

// The seconds of one step of `rows` sequences on one core that reads this many `weights`;
// `repeated` if it reads them in every step.
double step_seconds(double rows, double weights, bool repeated, const Rates& rates) {
  const bool near = !repeated || weights <= kNearFloats;
  const double reading = weights / (near ? rates.floats : kFarFloatsPerSecond);
  return std::max(rows * weights / rates.macs, reading);
}

// The fraction of `tasks` that the busiest of the `threads` runs.
double largest_share(int64_t tasks, int threads) {
  return static_cast<double>(ceil_div(tasks, threads)) / static_cast<double>(tasks);
}

// Multiply-adds for each row: what the two passes multiply a state (and an input) with.
double forward_weights(const RecurrenceShape& s) {
  return static_cast<double>(s.gates() * s.hidden) * static_cast<double>(s.input + s.hidden);
}

double backward_weights(const RecurrenceShape& s) {
  return static_cast<double>(s.gates() * s.hidden) * static_cast<double>(s.hidden);
}

double by_sequences(const RecurrenceShape& s, double weights, Isa isa, int threads) {
  const double share = largest_share(ceil_div(s.batch, kSequencesPerTask), threads);
  const double rows = static_cast<double>(s.rows) / static_cast<double>(s.steps) * share;
  const Rates rates = packed_rates(s, isa);
  // All weights are packed before the first is used; in a single step by units, few of them.
  const double again = s.steps == 1 ? weights / rates.floats : 0.0;
  return packing_seconds(s, weights) + again +
         static_cast<double>(s.steps) * step_seconds(rows, weights, s.steps > 1, rates);
}

double by_units(const RecurrenceShape& s, double weights, const Rates& rates, int threads) {
  const double own = weights * largest_share(ceil_div(s.hidden, kUnitsPerTask), threads);
  const double rows = static_cast<double>(s.rows) / static_cast<double>(s.steps);
  const double region = threads > 1 ? kRegionSeconds : 0.0;
  return static_cast<double>(s.steps) * (step_seconds(rows, own, s.steps > 1, rates) + region);
}

double by_packed_units(const RecurrenceShape& s, double weights, Isa isa, int threads) {
  const double own = weights * largest_share(ceil_div(s.hidden, kUnitsPerTask), threads);
  return packing_seconds(s, own) + by_units(s, weights, packed_rates(s, isa), threads);
}

template <Isa>
double reference_cost(const RecurrenceShape& s, int threads) {
  return s.macs() / kReferenceMacsPerSecond *
         largest_share(s.batch, static_cast<int>(min(threads, s.batch)));
}

template <Isa isa>
double sequences_cost(const RecurrenceShape& s, int threads) {
  return by_sequences(s, forward_weights(s), isa, threads);
}

template <Isa isa>
double units_cost(const RecurrenceShape& s, int threads) {
  return by_packed_units(s, forward_weights(s), isa, threads);
}

template <Isa isa>
double hoisted_cost(const RecurrenceShape& s, int threads) {
  const double for_x = static_cast<double>(s.gates() * s.hidden) * static_cast<double>(s.input);
  const double rows = static_cast<double>(s.rows);
  const double share = largest_share(ceil_div(s.hidden, kUnitsPerTask), threads);
  const double moved = 2.0 * rows * static_cast<double>(s.gates() * s.hidden);
  // A single step packs w_ih as well, and reaches no higher rate with it than with w_hh.
  const double rate = (s.steps == 1 ? kBlockedRate : 1.0) * tile_macs_per_second(isa);
  const double packing = s.steps == 1 ? packing_seconds(s, for_x * share) : 0.0;
  return packing + rows * for_x * share / rate + moved * share / kMovedFloatsPerSecond +
         by_packed_units(s, backward_weights(s), isa, threads);
}

template <Isa isa>
double dots_cost(const RecurrenceShape& s, int threads) {
  return by_units(s, forward_weights(s), dot_rates(s, isa), threads);
}

double gates_seconds(const RecurrenceShape& s, int64_t tasks, int threads) {
  const double share = largest_share(tasks, threads);
  return static_cast<double>(s.rows * s.hidden) * share / kMovedFloatsPerSecond;
}

template <Isa isa>
double sequences_bwd_cost(const RecurrenceShape& s, int threads) {
  if (s.gates_only) return gates_seconds(s, ceil_div(s.batch, kSequencesPerTask), threads);
  return by_sequences(s, backward_weights(s), isa, threads);
}

template <Isa isa>
double units_bwd_cost(const RecurrenceShape& s, int threads) {
  if (s.gates_only) return gates_seconds(s, ceil_div(s.hidden, kUnitsPerTask), threads);
  return by_packed_units(s, backward_weights(s), isa, threads);
}

}  // namespace

#define CNNEXT_KERNELS "recurrence/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(Recurrence)

}  // namespace cnnext
