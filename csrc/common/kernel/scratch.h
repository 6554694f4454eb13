// SPDX-License-Identifier: BSD-3-Clause
// Scratch memory that lives on between calls: fresh memory of a few megabytes costs more in page
// faults than many a convolution. Large blocks are cut from the arena, where results come from as
// well. Others belong to the process: a call borrows one, so there are as many as calls have run at
// the same time, however many threads made them.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace cnnext {

struct ScratchBlock {
  struct Free {
    void operator()(unsigned char* p) const { std::free(p); }
  };

  std::unique_ptr<unsigned char, Free> bytes;
  int64_t size = 0;
};

// The scratch of one call, given back at its end.
class Scratch {
 public:
  // What all idle blocks of the process take at most; where there is no arena, large ones, too.
  static constexpr int64_t kMaxIdleBytes = int64_t{128} << 20;

  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

  // So many bytes or more, aligned to 64, uninitialised; null for none. Once a call.
  unsigned char* reserve(int64_t bytes);

  // Gives what no call uses back to the system.
  static void release_idle();

 private:
  ScratchBlock block_;
  void* large_ = nullptr;  // of the arena
  int64_t large_bytes_ = 0;
};

}  // namespace cnnext
