// SPDX-License-Identifier: BSD-3-Clause
// Memory for large results that lives on when they are gone. Allocators give such memory back to
// the system, and fresh memory costs a fault for each page: more than most kernels take to fill it.
// A training step asks for the same hundreds of megabytes again and again.
//
// An arena is a range of addresses as long as the machine has memory. Pages come when they are
// first written to, and stay. What is free is kept as ranges, neighbours joined; a block is cut
// from the smallest that has room for it, so that blocks of all sizes share the same pages.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

namespace cnnext {

class Arena {
 public:
  // The smallest block worth it: allocators keep smaller ones themselves.
  static constexpr int64_t kLeast = int64_t{1} << 19;

  static Arena& instance();

  // A block of at least so many bytes, not initialised; null where there is no room. There is none
  // at all on systems other than Linux, where addresses are limited, and where the environment has
  // CNNEXT_KEEP_MEMORY=0.
  void* take(int64_t bytes);
  void give_back(void* block, int64_t bytes) noexcept;

  // Gives the pages of all that is free back to the system.
  void release_free();

 private:
  struct Range {
    int64_t begin, end;
  };

  Arena();
  bool grow(int64_t end);
  void release(Range range);
  void release_surplus();

  std::mutex mutex_;
  unsigned char* base_ = nullptr;
  int64_t capacity_ = 0;
  int64_t writable_ = 0;     // of the addresses, the first
  int64_t end_ = 0;          // of all blocks that there are or were
  std::vector<Range> free_;  // before that, ascending
  int64_t blocks_ = 0;       // in use, and their bytes
  int64_t used_ = 0;
  // The most bytes at once: since the last look for a surplus, and between the two before it.
  int64_t most_ = 0, most_before_ = 0;
  int64_t takes_ = 0;
};

}  // namespace cnnext
