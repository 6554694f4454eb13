// SPDX-License-Identifier: BSD-3-Clause
// How a kernel is run: its weights packed, and its phases one after the other, by threads that
// share the tasks of each. Whoever calls owns threads and memory.
#pragma once

#include "common/kernel/kernel.h"

namespace cnnext {

// The part of the threads' time in which equal tasks, shared as below, keep them busy: all wait for
// the one that has most.
inline double balance(int64_t tasks, int threads) {
  return static_cast<double>(tasks) / static_cast<double>(round_up(tasks, threads));
}

// `parallel(n, body)`, in all of these, calls body(i) for every i < n, on any threads, and returns
// when all are done. Calls work(slice) for the chunks of `tasks` that threads share, each with its
// own part of `scratch`.
template <class Parallel, class Work>
void for_each_chunk(int64_t tasks, int threads, Slice slice, unsigned char* scratch,
                    int64_t chunk_bytes, Parallel&& parallel, const Work& work) {
  const int64_t chunks = min(threads, tasks);
  parallel(chunks, [&](int64_t i) {
    Slice chunk = slice;
    chunk.begin = tasks * i / chunks;
    chunk.end = tasks * (i + 1) / chunks;
    chunk.chunk = scratch + i * round_up(chunk_bytes, 64);
    work(chunk);
  });
}

// The scratch that pack_weights() and run_planned() need, aligned to 64 bytes.
inline int64_t packing_scratch_bytes(const Plan& plan, int threads) {
  return threads * round_up(plan.weights.chunk_bytes, 64);
}
inline int64_t running_scratch_bytes(const Plan& plan, int threads) {
  return round_up(plan.shared_bytes, 64) + threads * round_up(plan.chunk_bytes, 64);
}

// Packs the weights, into plan.weights.bytes that are aligned to 64 bytes.
template <class K, class Parallel>
void pack_weights(const K& kernel, const typename K::Shape& shape, const Plan& plan,
                  const typename K::Operands& operands, unsigned char* packed, int threads,
                  unsigned char* scratch, Parallel&& parallel) {
  Slice slice{};
  slice.packed = packed;
  for_each_chunk(plan.weights.tasks, threads, slice, scratch, plan.weights.chunk_bytes, parallel,
                 [&](const Slice& chunk) { kernel.pack(shape, plan, operands, chunk); });
}

// Runs all phases of all rounds, with packed weights if the plan asks for them.
template <class K, class Parallel>
void run_planned(const K& kernel, const typename K::Shape& shape, const Plan& plan,
                 const typename K::Operands& operands, unsigned char* packed, int threads,
                 unsigned char* scratch, Parallel&& parallel) {
  Slice slice{};
  slice.packed = packed;
  slice.shared = scratch;
  for (int64_t step = 0; step < plan.rounds * plan.n_phases; ++step) {
    slice.phase = static_cast<int>(step % plan.n_phases);
    slice.round = step / plan.n_phases;
    for_each_chunk(plan.tasks[slice.phase], threads, slice,
                   scratch + round_up(plan.shared_bytes, 64), plan.chunk_bytes, parallel,
                   [&](const Slice& chunk) { kernel.run(shape, plan, operands, chunk); });
  }
}

// A call that keeps nothing: `allocate(bytes)` returns its scratch.
template <class K, class Allocate, class Parallel>
void run_once(const K& kernel, const typename K::Shape& shape, const Plan& plan,
              const typename K::Operands& operands, int threads, Allocate&& allocate,
              Parallel&& parallel) {
  const bool packs = plan.weights.exists() && !plan.weights.optional;
  const int64_t packed_bytes = packs ? round_up(plan.weights.bytes, 64) : 0;
  unsigned char* const scratch =
      allocate(packed_bytes + max(packs ? packing_scratch_bytes(plan, threads) : 0,
                                  running_scratch_bytes(plan, threads)));
  unsigned char* const rest = scratch + packed_bytes;
  if (packs) pack_weights(kernel, shape, plan, operands, scratch, threads, rest, parallel);
  run_planned(kernel, shape, plan, operands, packs ? scratch : nullptr, threads, rest, parallel);
}

}  // namespace cnnext
