// SPDX-License-Identifier: BSD-3-Clause
// Huge pages for large blocks of our own memory. Kernels walk dozens of streams at a time, more
// than a TLB has entries for small pages; and fresh memory, which an allocator returns for every
// large tensor, costs a fault a page. Linux, in its default setting, gives huge pages to memory
// that asks for them; a refusal is not an error.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace cnnext {

constexpr size_t kHugePage = size_t{2} << 20;

// The huge pages that lie within a block.
struct HugePages {
  HugePages(void* block, size_t bytes) {
    const uintptr_t begin = reinterpret_cast<uintptr_t>(block);
    first = (begin + kHugePage - 1) / kHugePage * kHugePage;
    last = (begin + bytes) / kHugePage * kHugePage;
  }

  void advise([[maybe_unused]] int advice) const {
#if defined(__linux__)
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, advice);
#endif
  }

  uintptr_t first, last;
};

inline void prefer_huge_pages([[maybe_unused]] void* block, [[maybe_unused]] size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  HugePages(block, bytes).advise(MADV_HUGEPAGE);
#endif
}

// Gives back the pages of a block that is freed next: allocators keep what they are given back,
// some once a thread.
inline void give_pages_back([[maybe_unused]] void* block, [[maybe_unused]] size_t bytes) {
#if defined(__linux__)
  HugePages(block, bytes).advise(MADV_DONTNEED);
#endif
}

}  // namespace cnnext
