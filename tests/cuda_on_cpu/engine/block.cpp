// SPDX-License-Identifier: BSD-3-Clause
#include "block.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <optional>
#include <random>
#include <vector>

#include "fault.h"
#include "fiber.h"
#include "memory.h"

namespace cuda_on_cpu {
namespace {

enum class State { ready, at_barrier, in_warp, done };

// What a lane takes away from a meeting of its warp, if it is not the value of a source lane.
constexpr int kVotes = -1;     // which lanes brought something other than zero
constexpr int kOrdering = -2;  // nothing: memory is in order

struct Thread {
  Context context;
  State state;
  Dim3 index;
  // While it waits:
  const char* operation;
  Site site;
  unsigned mask;
  int source;      // lane, or one of the above
  uint64_t value;  // brought to the meeting, then taken away
};

struct Block {
  Grid grid;
  Dim3 index;
  KernelCall kernel;
  std::vector<Thread> threads;
  int running;
  Context scheduler;
  std::optional<Fault> fault;

  int size() const { return static_cast<int>(threads.size()); }
} block;

int first_of_warp(int thread) { return thread / kWarp * kWarp; }

bool same_line(const Thread& a, const Thread& b) {
  return a.site.line == b.site.line && std::strcmp(a.site.file, b.site.file) == 0;
}

std::string hexadecimal(unsigned mask) {
  char digits[11];
  std::snprintf(digits, sizeof(digits), "0x%08x", mask);
  return digits;
}

std::string waiting_text(const Thread& thread) {
  return "waits in " + std::string(thread.operation) + " at " + place(thread.site) +
         (thread.state == State::in_warp ? " with mask " + hexadecimal(thread.mask) : "");
}

std::string state_text(const Thread& thread) {
  return thread_text(thread.index) + " " +
         (thread.state == State::done ? "has ended" : waiting_text(thread));
}

void report(FaultKind kind, const Thread& thread, std::string place, const std::string& what) {
  block.fault =
      make_fault(kind, thread.index, block.index, std::move(place),
                 thread_text(thread.index) + " of " + block_text(block.index) + " " + what);
}

void report_waiting(FaultKind kind, const Thread& thread, const std::string& what) {
  report(kind, thread, place(thread.site), waiting_text(thread) + what);
}

void leave() { switch_context(block.threads[block.running].context, block.scheduler); }

void fiber_main() {
  block.kernel.call(block.kernel.kernel, block.kernel.arguments);
  block.threads[block.running].state = State::done;
  leave();
}

Thread& wait(State state, const char* operation, Site site, unsigned mask, int source,
             uint64_t value) {
  Thread& thread = block.threads[block.running];
  thread.state = state;
  thread.operation = operation;
  thread.site = site;
  thread.mask = mask;
  thread.source = source;
  thread.value = value;
  leave();
  return thread;
}

uint64_t meet(const char* operation, Site site, unsigned mask, int source, uint64_t value) {
  const auto refuse = [&](const std::string& what) {
    fail(FaultKind::wrong_mask, place(site),
         "calls " + std::string(operation) + " with mask " + hexadecimal(mask) + ", but " + what);
  };
  const int lanes = std::min(kWarp, block.size() - first_of_warp(block.running));
  if ((mask >> lane() & 1) == 0) refuse("its own lane is not in it");
  if (uint64_t{mask} >> lanes != 0) refuse("the warp has only " + std::to_string(lanes) + " lanes");
  if (source >= 0 && (mask >> source & 1) == 0) {
    refuse("reads from lane " + std::to_string(source) + ", which is not in it");
  }
  return wait(State::in_warp, operation, site, mask, source, value).value;
}

// A lane that the thread waits for and that does not wait for the thread, if there is one.
const Thread* missing_lane(const Thread& thread, int first) {
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((thread.mask >> lane & 1) == 0) continue;
    const Thread& other = block.threads[first + lane];
    const bool agrees = other.state == State::in_warp && other.mask == thread.mask &&
                        same_line(other, thread) &&
                        std::strcmp(other.operation, thread.operation) == 0;
    if (!agrees) return &other;
  }
  return nullptr;
}

// Lets the lanes go that the thread waits for, if all are there.
bool release_warp(int number) {
  const Thread& thread = block.threads[number];
  if (thread.state != State::in_warp) return false;
  const int first = first_of_warp(number);
  if (missing_lane(thread, first) != nullptr) return false;
  const unsigned mask = thread.mask;
  uint64_t values[kWarp] = {}, votes = 0;
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    values[lane] = block.threads[first + lane].value;
    votes |= uint64_t{values[lane] != 0} << lane;
  }
  if (thread.source == kOrdering) memory.clock.warp_barrier(first, mask);
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    Thread& other = block.threads[first + lane];
    other.value = other.source >= 0 ? values[other.source] : votes;
    other.state = State::ready;
  }
  return true;
}

// Called when no thread can go on: lets all go if all wait at one barrier.
void release_block() {
  const auto find = [](State state) {
    return std::find_if(block.threads.begin(), block.threads.end(),
                        [&](const Thread& thread) { return thread.state == state; });
  };
  const auto end = block.threads.end();
  const auto in_warp = find(State::in_warp), done = find(State::done);
  const auto at_barrier = find(State::at_barrier);
  if (in_warp != end) {
    const int first = first_of_warp(static_cast<int>(in_warp - block.threads.begin()));
    report_waiting(FaultKind::wrong_mask, *in_warp,
                   ", but " + state_text(*missing_lane(*in_warp, first)));
  } else if (done != end) {
    report_waiting(FaultKind::divergent_barrier, *at_barrier, ", but " + state_text(*done));
  } else {
    for (const Thread& other : block.threads) {
      if (same_line(other, *at_barrier)) continue;
      report_waiting(FaultKind::divergent_barrier, *at_barrier, ", but " + state_text(other));
      return;
    }
    memory.clock.block_barrier();
    for (Thread& thread : block.threads) thread.state = State::ready;
  }
}

// Runs the threads that are ready, then lets those go on that have what they wait for. False at the
// end of the block.
bool run_threads(const std::vector<int>& order) {
  bool progress = false;
  for (const int number : order) {
    if (block.threads[number].state != State::ready) continue;
    progress = true;
    block.running = number;
    memory.resume(number);
    switch_context(block.scheduler, block.threads[number].context);
    if (block.fault) return false;
  }
  for (int number = 0; number < block.size(); ++number) progress |= release_warp(number);
  if (progress) return true;
  if (std::all_of(block.threads.begin(), block.threads.end(),
                  [](const Thread& thread) { return thread.state == State::done; })) {
    return false;
  }
  release_block();
  return !block.fault;
}

}  // namespace

void fail(FaultKind kind, std::string place, const std::string& what) {
  report(kind, block.threads[block.running], std::move(place), what);
  leave();
  __builtin_unreachable();
}

Dim3 thread_index_of(int thread) { return block.threads[thread].index; }

void run_block(const Grid& grid, Dim3 index, const KernelCall& kernel, uint64_t seed) {
  block.grid = grid;
  block.index = index;
  block.kernel = kernel;
  const Dim3& size = grid.threads;
  block.threads.resize(size.x * size.y * size.z);
  block.fault.reset();
  for (int i = 0; i < block.size(); ++i) {
    Thread& thread = block.threads[i];
    const auto number = static_cast<unsigned>(i);
    thread.index = {number % size.x, number / size.x % size.y, number / size.x / size.y};
    thread.state = State::ready;
    prepare_fiber(i, &fiber_main, thread.context);
  }
  std::vector<int> order(block.threads.size());
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(seed);
  do {
    std::shuffle(order.begin(), order.end(), random);
  } while (run_threads(order));
  if (block.fault) throw *block.fault;
}

Dim3 thread_index() { return thread_index_of(block.running); }
Dim3 block_index() { return block.index; }
Dim3 block_size() { return block.grid.threads; }
Dim3 grid_size() { return block.grid.blocks; }
int lane() { return block.running % kWarp; }
void* dynamic_shared() { return memory.dynamic_shared(); }

void block_barrier(Site site) { wait(State::at_barrier, "__syncthreads", site, 0, kOrdering, 0); }

void warp_barrier(unsigned mask, Site site) { meet("__syncwarp", site, mask, kOrdering, 0); }

uint64_t warp_exchange(unsigned mask, uint64_t value, int source_lane, const char* name,
                       Site site) {
  return meet(name, site, mask, source_lane, value);
}

unsigned warp_ballot(unsigned mask, bool vote, Site site) {
  return static_cast<unsigned>(meet("__ballot_sync", site, mask, kVotes, vote));
}

}  // namespace cuda_on_cpu
