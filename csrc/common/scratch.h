// SPDX-License-Identifier: BSD-3-Clause
// Scratch memory that lives on between calls: fresh memory of a few megabytes costs more in page
// faults than many a convolution.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#include "common/huge_pages.h"
#include "common/kernel.h"

namespace cnnext {

// One block per calling thread, aligned to 64 bytes. It grows as needed; what exceeds kKept bytes
// is given back by trim().
class Scratch {
 public:
  static constexpr int64_t kKept = int64_t{64} << 20;

  static unsigned char* reserve(int64_t bytes) {
    Scratch& scratch = this_thread();
    if (bytes > scratch.size_) {
      scratch.release();
      const size_t alignment = bytes < static_cast<int64_t>(kHugePage) ? 64 : kHugePage;
      const size_t size = round_up(bytes, static_cast<int64_t>(alignment));
      scratch.block_.reset(static_cast<unsigned char*>(std::aligned_alloc(alignment, size)));
      if (scratch.block_ == nullptr) {
        throw std::runtime_error("cnnext cannot allocate " + std::to_string(bytes) +
                                 " bytes of scratch memory");
      }
      prefer_huge_pages(scratch.block_.get(), size);
      scratch.size_ = static_cast<int64_t>(size);
    }
    return scratch.block_.get();
  }

  static void trim() {
    Scratch& scratch = this_thread();
    if (scratch.size_ > kKept) scratch.release();
  }

 private:
  struct Free {
    void operator()(unsigned char* p) const { std::free(p); }
  };

  static Scratch& this_thread() {
    thread_local Scratch scratch;
    return scratch;
  }

  void release() {
    block_.reset();
    size_ = 0;
  }

  std::unique_ptr<unsigned char, Free> block_;
  int64_t size_ = 0;
};

}  // namespace cnnext
