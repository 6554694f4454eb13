// SPDX-License-Identifier: BSD-3-Clause
// What every operator does with its list of kernels: choose one, name them all, run one.
#pragma once

#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "common/kernel.h"

namespace cnnext {

constexpr double kNotApplicable = std::numeric_limits<double>::infinity();

// Forces `op` to use the kernel of that name wherever its pass is asked for; "" frees it again.
// Every registered kernel can thus be tested through every door.
void force_kernel(const std::string& op, const std::string& name);
std::string forced_kernel(const std::string& op);

const char* pass_name(Pass pass);

// The usable kernel of least predicted time. The order of the list carries no meaning: of two
// equal predictions the higher ISA wins, then the name. A forced kernel that does not fit is an
// error, never silently replaced.
template <class K>
const K& select_kernel(const char* op, const std::vector<K>& kernels, Pass pass,
                       const typename K::Shape& shape, int threads) {
  const Isa isa = active_isa();
  const std::string forced = forced_kernel(op);
  const K* best = nullptr;
  double best_cost = kNotApplicable;
  for (const K& kernel : kernels) {
    if (kernel.pass != pass || kernel.isa > isa) continue;
    const double cost = kernel.cost(shape, threads);
    if (cost == kNotApplicable) continue;
    if (!forced.empty() && forced == kernel.name) return kernel;
    const bool tie_won =
        best != nullptr && cost == best_cost &&
        (kernel.isa > best->isa ||
         (kernel.isa == best->isa && std::string(kernel.name) < std::string(best->name)));
    if (best == nullptr || cost < best_cost || tie_won) {
      best = &kernel;
      best_cost = cost;
    }
  }
  for (const K& kernel : kernels) {
    if (!forced.empty() && forced == kernel.name && kernel.pass == pass) {
      throw std::runtime_error("kernel '" + forced + "' was asked for, but it does not apply to " +
                               "this shape or this machine");
    }
  }
  if (best == nullptr) {
    throw std::runtime_error(std::string(op) + ": no " + pass_name(pass) + " kernel applies");
  }
  return *best;
}

// What a line of kernels.inc expands to inside a function that fills `list` with the kernels of T.
#define CNNEXT_REGISTRY_ENTRY(type, pass, isa, name, cost)             \
  if constexpr (std::is_same_v<T, type>) {                             \
    list.push_back({#name, pass, isa, cost, name##_plan, name##_run}); \
  }

// One line a kernel: "name pass isa".
template <class K>
std::string list_kernels(const std::vector<K>& kernels) {
  std::string lines;
  for (const K& kernel : kernels) {
    lines += std::string(kernel.name) + ' ' + pass_name(kernel.pass) + ' ' + isa_name(kernel.isa);
    lines += '\n';
  }
  return lines;
}

// Runs all phases. `allocate(bytes)` returns scratch aligned to 64 bytes; `parallel(n, body)` calls
// body(i) for every i < n, on any threads, and returns when all are done.
template <class K, class Allocate, class Parallel>
void run_kernel(const K& kernel, const typename K::Shape& shape,
                const typename K::Operands& operands, int threads, Allocate&& allocate,
                Parallel&& parallel) {
  const Plan plan = kernel.plan(shape, threads);
  const int64_t shared_bytes = round_up(plan.shared_bytes, 64);
  const int64_t chunk_bytes = round_up(plan.chunk_bytes, 64);
  unsigned char* const scratch = allocate(shared_bytes + threads * chunk_bytes);
  for (int phase = 0; phase < plan.n_phases; ++phase) {
    const int64_t tasks = plan.tasks[phase];
    const int64_t chunks = least(threads, tasks);
    parallel(chunks, [&](int64_t i) {
      const Slice slice{phase, tasks * i / chunks, tasks * (i + 1) / chunks, scratch,
                        scratch + shared_bytes + i * chunk_bytes};
      kernel.run(shape, plan, operands, slice);
    });
  }
}

}  // namespace cnnext
