// SPDX-License-Identifier: BSD-3-Clause
// Huge pages for large blocks of our own memory. Kernels walk dozens of streams at a time, more
// than a TLB has entries for small pages; and fresh memory, which an allocator returns for every
// large tensor, costs a fault a page. Linux gives huge pages to whom asks, in its default setting;
// a refusal is no error.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace cnnext {

constexpr size_t kHugePage = size_t{2} << 20;

// For the huge pages that lie within the block.
inline void prefer_huge_pages([[maybe_unused]] void* block, [[maybe_unused]] size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes < kHugePage) return;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(block);
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t last = (begin + bytes) / kHugePage * kHugePage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace cnnext
