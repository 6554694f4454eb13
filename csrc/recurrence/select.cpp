// SPDX-License-Identifier: BSD-3-Clause
#include "recurrence/select.h"

#include <algorithm>

#include "common/kernel/cost.h"

namespace cnnext {
namespace {

constexpr double kPackedFloatsPerSecond = 2e9;
constexpr double kRegionSeconds = 2.5e-6;  // to start the threads on a round, and to wait for them
constexpr double kNearFloats = 256 << 10;  // of weights, that stay in a core's own caches
constexpr double kFarFloatsPerSecond = 3e9;
constexpr int64_t kSequencesPerTask = 6;
constexpr int64_t kUnitsPerTask = 16;

// How fast a core multiplies with weights, packed or not, that come from its own caches.
struct Rates {
  double macs, floats;
};
Rates packed_rates(Isa isa) { return {0.85 * tile_macs_per_second(isa), 2e10}; }
Rates dot_rates(Isa isa) { return {0.5 * tile_macs_per_second(isa), 1e10}; }

// The seconds of one step on one core: `rows` sequences with so many weights, again and again.
double step_seconds(double rows, double weights, bool repeated, const Rates& rates) {
  const bool near = !repeated || weights <= kNearFloats;
  const double reading = weights / (near ? rates.floats : kFarFloatsPerSecond);
  return std::max(rows * weights / rates.macs, reading);
}

// The part of `tasks` that the busiest of so many threads has.
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
  return weights / kPackedFloatsPerSecond +
         static_cast<double>(s.steps) * step_seconds(rows, weights, s.steps > 1, packed_rates(isa));
}

double by_units(const RecurrenceShape& s, double weights, const Rates& rates, int threads) {
  const double own = weights * largest_share(ceil_div(s.hidden, kUnitsPerTask), threads);
  const double rows = static_cast<double>(s.rows) / static_cast<double>(s.steps);
  const double region = threads > 1 ? kRegionSeconds : 0.0;
  return static_cast<double>(s.steps) * (step_seconds(rows, own, s.steps > 1, rates) + region);
}

double by_packed_units(const RecurrenceShape& s, double weights, Isa isa, int threads) {
  const double own = weights * largest_share(ceil_div(s.hidden, kUnitsPerTask), threads);
  return own / kPackedFloatsPerSecond + by_units(s, weights, packed_rates(isa), threads);
}

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
double ahead_cost(const RecurrenceShape& s, int threads) {
  const double for_x = static_cast<double>(s.gates() * s.hidden) * static_cast<double>(s.input);
  const double rows = static_cast<double>(s.rows);
  const double share = largest_share(ceil_div(s.hidden, kUnitsPerTask), threads);
  const double moved = 2.0 * rows * static_cast<double>(s.gates() * s.hidden);
  return rows * for_x * share / tile_macs_per_second(isa) + moved * share / kMovedFloatsPerSecond +
         by_packed_units(s, backward_weights(s), isa, threads);
}

template <Isa isa>
double dots_cost(const RecurrenceShape& s, int threads) {
  return by_units(s, forward_weights(s), dot_rates(isa), threads);
}

template <Isa isa>
double sequences_bwd_cost(const RecurrenceShape& s, int threads) {
  return by_sequences(s, backward_weights(s), isa, threads);
}

template <Isa isa>
double units_bwd_cost(const RecurrenceShape& s, int threads) {
  return by_packed_units(s, backward_weights(s), isa, threads);
}

}  // namespace

template <class T>
const std::vector<RecurrenceKernel<T>>& recurrence_registry() {
  static const std::vector<RecurrenceKernel<T>> kernels = [] {
    std::vector<RecurrenceKernel<T>> list;
#define CNNEXT_KERNEL CNNEXT_REGISTRY_ENTRY
#include "recurrence/kernels.inc"
#undef CNNEXT_KERNEL
    return list;
  }();
  return kernels;
}

template const std::vector<RecurrenceKernel<float>>& recurrence_registry();
template const std::vector<RecurrenceKernel<double>>& recurrence_registry();

template <class T>
const RecurrenceKernel<T>& select_recurrence(Pass pass, const RecurrenceShape& shape, int threads) {
  return select_kernel("recurrence", recurrence_registry<T>(), pass, shape, threads);
}

template const RecurrenceKernel<float>& select_recurrence(Pass, const RecurrenceShape&, int);
template const RecurrenceKernel<double>& select_recurrence(Pass, const RecurrenceShape&, int);

std::string list_recurrence_kernels() {
  return lines_of(recurrence_registry<float>()) + lines_of(recurrence_registry<double>());
}

}  // namespace cnnext
