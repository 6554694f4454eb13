// SPDX-License-Identifier: BSD-3-Clause
// Runs the blocks of a CUDA grid on the CPU: one fiber a thread, switched where threads wait for
// each other. What goes wrong on the way (a race, an access outside of all memory that the kernel
// was given, a barrier that not all threads reach) ends the launch with a Fault, which names the
// line of the source.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace cuda_on_cpu {

struct Dim3 {
  unsigned x, y, z;
};

// A line of the source.
struct Site {
  const char* file;
  int line;
};

enum class FaultKind {
  out_of_bounds,
  read_only,
  misaligned,
  race,               // two threads of a block, with no barrier between their accesses
  block_conflict,     // two blocks touch the same global memory, and one of them writes
  divergent_barrier,  // not all threads of a block wait at the same __syncthreads
  wrong_mask,         // the lanes of a warp do not all do what the mask says
  invalid_launch,
};

struct Fault : std::runtime_error {
  Fault(FaultKind kind, Dim3 thread, Dim3 block, std::string place, const std::string& message)
      : std::runtime_error(message),
        kind(kind),
        thread(thread),
        block(block),
        place(std::move(place)) {}

  FaultKind kind;
  Dim3 thread, block;
  std::string place;  // file:line, and what it is inlined into; of an invalid launch, empty
};

// Memory that kernels may read, respectively write, until it is forgotten. Everything else that is
// not their own stack, shared memory or a constant is out of bounds. Ranges that overlap become one
// range, writable if either is.
void allow(const void* begin, size_t bytes, bool writable);
void forget(const void* begin);  // the whole range that holds it
void forget_all();

// Blocks and threads run in an order that the seed decides: what may depend on the order will.
void set_seed(uint64_t seed);

// Permits more dynamic shared memory than the 48 KiB which a kernel's shared memory is limited to.
// False if no GPU has that much.
bool allow_dynamic_shared(const void* kernel, size_t bytes);

// A kernel and its arguments: call(kernel, arguments) runs it for the running thread.
struct KernelCall {
  void (*call)(void* kernel, void** arguments);
  void* kernel;
  void** arguments;
};

// Returns when all blocks have run; throws the first Fault. Launches of several threads of the
// system wait for each other. During a launch, the calling thread's thread-local variables of the
// library that holds the kernel are shared memory; afterwards they are what they were.
void launch(Dim3 grid, Dim3 block, size_t shared_bytes, KernelCall kernel);

// What CUDA's built-in variables give the running thread.
Dim3 thread_index();
Dim3 block_index();
Dim3 block_size();
Dim3 grid_size();
int lane();
void* dynamic_shared();

void block_barrier(Site site);
void warp_barrier(unsigned mask, Site site);
// The value that the source lane brings; `name` is the operation's, for messages.
uint64_t warp_exchange(unsigned mask, uint64_t value, int source_lane, const char* name, Site site);
unsigned warp_ballot(unsigned mask, bool vote, Site site);

}  // namespace cuda_on_cpu
