// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "common/kernel/machine.h"
#include "common/kernel/registry.h"
#include "gemm/cost.h"
#include "recurrence/recurrence.h"

namespace cnnext {
namespace {

constexpr int64_t kSequencesPerTask = 6;
constexpr int64_t kUnitsPerTask = 16;

// How fast a core multiplies with weights, packed or not, and reads them: from its own caches in
// several steps, where they fit, or from beyond. A single step is a product as linear's, whose
// weights come from memory, packed or for dots.
struct WeightRates {
  double macs, near_floats, far_floats;
};
WeightRates packed_rates(const RecurrenceShape& s, Isa isa) {
  const Rates& r = rates(isa);
  return {(s.steps == 1 ? kBlockedRate : 0.85) * r.tile_macs, r.l2_bytes / 4, r.memory_bytes / 4};
}
WeightRates dot_rates(const RecurrenceShape& s, Isa isa) {
  const Rates& r = rates(isa);
  const double far = r.memory_bytes / 4;
  if (s.steps == 1) return {kDotRate * r.tile_macs, far, far};
  return {0.5 * r.tile_macs, 0.5 * r.l2_bytes / 4, far};
}

// The seconds of one step of `rows` sequences on one core that reads this many `weights`;
// `repeated` if it reads them in every step.
double step_seconds(double rows, double weights, bool repeated, const WeightRates& r) {
  const bool near = !repeated || 4 * weights <= static_cast<double>(machine().l2);
  return std::max(rows * weights / r.macs, weights / (near ? r.near_floats : r.far_floats));
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
  const WeightRates r = packed_rates(s, isa);
  // All weights are packed before the first is used; in a single step by units, few of them.
  const double again = s.steps == 1 ? weights / r.near_floats : 0.0;
  return weights / rates(isa).packed_floats + again +
         static_cast<double>(s.steps) * step_seconds(rows, weights, s.steps > 1, r);
}

double by_units(const RecurrenceShape& s, double weights, const WeightRates& r, Isa isa,
                int threads) {
  const double own = weights * largest_share(ceil_div(s.hidden, kUnitsPerTask), threads);
  const double rows = static_cast<double>(s.rows) / static_cast<double>(s.steps);
  const double start = threads > 1 ? rates(isa).phase_seconds : 0.0;
  return static_cast<double>(s.steps) * (step_seconds(rows, own, s.steps > 1, r) + start);
}

double by_packed_units(const RecurrenceShape& s, double weights, Isa isa, int threads) {
  const double own = weights * largest_share(ceil_div(s.hidden, kUnitsPerTask), threads);
  return own / rates(isa).packed_floats + by_units(s, weights, packed_rates(s, isa), isa, threads);
}

template <Isa isa>
double reference_cost(const RecurrenceShape& s, int threads) {
  return s.macs() / rates(isa).reference_macs *
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
  const double rate = (s.steps == 1 ? kBlockedRate : 1.0) * rates(isa).tile_macs;
  const double packing = s.steps == 1 ? for_x * share / rates(isa).packed_floats : 0.0;
  return packing + rows * for_x * share / rate + moved * share / rates(isa).moved_floats +
         by_packed_units(s, backward_weights(s), isa, threads);
}

template <Isa isa>
double dots_cost(const RecurrenceShape& s, int threads) {
  return by_units(s, forward_weights(s), dot_rates(s, isa), isa, threads);
}

double gates_seconds(const RecurrenceShape& s, int64_t tasks, Isa isa, int threads) {
  const double share = largest_share(tasks, threads);
  return static_cast<double>(s.rows * s.hidden) * share / rates(isa).moved_floats;
}

template <Isa isa>
double sequences_bwd_cost(const RecurrenceShape& s, int threads) {
  if (s.gates_only) return gates_seconds(s, ceil_div(s.batch, kSequencesPerTask), isa, threads);
  return by_sequences(s, backward_weights(s), isa, threads);
}

template <Isa isa>
double units_bwd_cost(const RecurrenceShape& s, int threads) {
  if (s.gates_only) return gates_seconds(s, ceil_div(s.hidden, kUnitsPerTask), isa, threads);
  return by_packed_units(s, backward_weights(s), isa, threads);
}

}  // namespace

#define CNNEXT_KERNELS "recurrence/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(Recurrence)

}  // namespace cnnext
