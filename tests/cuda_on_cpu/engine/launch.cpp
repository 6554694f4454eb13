// SPDX-License-Identifier: BSD-3-Clause
// The launch of a grid: what CUDA allows of its configuration, the shared memory, and the blocks.
#include <link.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>
#include <random>
#include <vector>

#include "block.h"
#include "cuda_on_cpu/engine.h"
#include "fault.h"
#include "memory.h"

// For the C library's function that returns the address of a thread-local variable of a loaded
// library, and allocates its memory at the thread's first use.
struct TlsIndex {
  unsigned long module, offset;
};
extern "C" void* __tls_get_addr(TlsIndex* index);

namespace cuda_on_cpu {
namespace {

constexpr size_t kMaxShared = 48 * 1024;  // unless a kernel is allowed more

std::mutex mutex;
uint64_t seed = 0;
std::map<const void*, size_t> allowed_dynamic_shared;  // by kernel

[[noreturn]] void refuse(const std::string& what) {
  throw make_fault(FaultKind::invalid_launch, {}, {}, "", what);
}

void check_size(const char* what, Dim3 size, Dim3 max) {
  const auto fits = [](unsigned value, unsigned max) { return value > 0 && value <= max; };
  if (!fits(size.x, max.x) || !fits(size.y, max.y) || !fits(size.z, max.z)) {
    refuse(what + text(size) + " is not between (1, 1, 1) and " + text(max));
  }
}

void check_configuration(const Grid& grid) {
  check_size("a grid of ", grid.blocks, {2147483647, 65535, 65535});
  check_size("a block of ", grid.threads, {kMaxFibers, kMaxFibers, 64});
  if (uint64_t{grid.threads.x} * grid.threads.y * grid.threads.z > kMaxFibers) {
    refuse("a block of " + text(grid.threads) + " has more than 1024 threads");
  }
}

void check_shared(size_t static_bytes, size_t dynamic_bytes, const void* kernel) {
  const auto allowed = allowed_dynamic_shared.find(kernel);
  const bool is_allowed =
      allowed != allowed_dynamic_shared.end() && dynamic_bytes <= allowed->second;
  const size_t max = is_allowed ? kMaxDynamicShared : kMaxShared;
  if (static_bytes + dynamic_bytes > max) {
    refuse(std::to_string(static_bytes + dynamic_bytes) + " bytes of shared memory are more than " +
           std::to_string(max));
  }
}

struct Search {
  uintptr_t kernel;
  Library library;
};

int match_library(dl_phdr_info* info, size_t, void* data) {
  Search& search = *static_cast<Search*>(data);
  bool matches = false;
  uintptr_t first = UINTPTR_MAX, last = 0;  // of all that is not writable: one range
  size_t static_bytes = 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr) & segment = info->dlpi_phdr[i];
    if (segment.p_type == PT_TLS) static_bytes = segment.p_memsz;
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    matches |= search.kernel - begin < segment.p_memsz;
    first = std::min(first, begin);
    last = std::max<uintptr_t>(last, begin + segment.p_memsz);
  }
  if (!matches) return 0;
  search.library.constants = first;
  search.library.constant_bytes = last - first;
  search.library.static_bytes = static_bytes;
  if (static_bytes > 0) {
    TlsIndex index{info->dlpi_tls_modid, 0};
    search.library.statics = reinterpret_cast<uintptr_t>(__tls_get_addr(&index));
  }
  return 1;
}

Library library_of(const void* kernel) {
  Search search{reinterpret_cast<uintptr_t>(kernel), {}};
  dl_iterate_phdr(&match_library, &search);
  return search.library;
}

void run_blocks(const Grid& grid, size_t dynamic_bytes, const KernelCall& kernel) {
  const Dim3& size = grid.blocks;
  std::vector<uint64_t> order(uint64_t{size.x} * size.y * size.z);
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(seed);
  std::shuffle(order.begin(), order.end(), random);
  for (const uint64_t number : order) {
    const Dim3 index{static_cast<unsigned>(number % size.x),
                     static_cast<unsigned>(number / size.x % size.y),
                     static_cast<unsigned>(number / size.x / size.y)};
    memory.begin_block(index);
    run_block(grid, index, kernel, random());
    // How much a kernel has is only seen by what it uses, once its first block has run.
    if (number == order.front()) {
      check_shared(memory.static_bytes_touched(), dynamic_bytes, kernel.kernel);
    }
  }
}

}  // namespace

void allow(const void* begin, size_t bytes, bool writable) {
  const std::lock_guard<std::mutex> lock(mutex);
  memory.allow(reinterpret_cast<uintptr_t>(begin), bytes, writable);
}

void forget(const void* begin) {
  const std::lock_guard<std::mutex> lock(mutex);
  memory.forget(reinterpret_cast<uintptr_t>(begin));
}

void forget_all() {
  const std::lock_guard<std::mutex> lock(mutex);
  memory.forget_all();
}

void set_seed(uint64_t value) {
  const std::lock_guard<std::mutex> lock(mutex);
  seed = value;
}

bool allow_dynamic_shared(const void* kernel, size_t bytes) {
  if (bytes > kMaxDynamicShared) return false;
  const std::lock_guard<std::mutex> lock(mutex);
  allowed_dynamic_shared[kernel] = bytes;
  return true;
}

void launch(Dim3 grid_size, Dim3 block_size, size_t shared_bytes, KernelCall kernel) {
  const std::lock_guard<std::mutex> lock(mutex);
  const Grid grid{grid_size, block_size};
  check_configuration(grid);
  check_shared(0, shared_bytes, kernel.kernel);
  memory.begin_launch(library_of(kernel.kernel), shared_bytes);
  struct EndOfLaunch {
    ~EndOfLaunch() { memory.end_launch(); }
  } end_of_launch;
  run_blocks(grid, shared_bytes, kernel);
}

}  // namespace cuda_on_cpu
