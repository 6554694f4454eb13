// SPDX-License-Identifier: BSD-3-Clause
// The memory that kernels may touch, and the checks of every access to it. The check of a legal
// access is inline, as millions of them make up a launch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "cuda_on_cpu/engine.h"
#include "fiber.h"
#include "shadow.h"

namespace cuda_on_cpu {

constexpr size_t kMaxDynamicShared = 227 * 1024;  // of any GPU

struct Range {
  uintptr_t begin = 0;
  size_t bytes = 0;
  bool writable = false;
  Shadow shadow = {};  // of a range that is writable

  bool holds(uintptr_t at, size_t size) const {
    return at - begin < bytes && size <= bytes - (at - begin);
  }
};

// That holds the kernel: its code and constants, and its thread-local variables, which are the
// shared arrays.
struct Library {
  uintptr_t constants = 0, statics = 0;
  size_t constant_bytes = 0, static_bytes = 0;
};

struct Access {
  uintptr_t at;
  size_t bytes;
  bool write;
  const void* code;  // the return address of its check
};

class Memory {
 public:
  void allow(uintptr_t begin, size_t bytes, bool writable);
  void forget(uintptr_t begin);
  void forget_all();

  void begin_launch(const Library& library, size_t dynamic_bytes);
  void begin_block(Dim3 index);
  void end_launch();
  void resume(int thread);

  void* dynamic_shared() const { return reinterpret_cast<void*>(dynamic_.begin); }
  size_t static_bytes_touched() const { return statics_.shadow.touched(clock.launch()); }

  void check(const Access& access, size_t alignment) {
    // The instrumented code of the host, maybe while a kernel runs on another thread.
    if (!stacks.hold(reinterpret_cast<uintptr_t>(__builtin_frame_address(0)))) return;
    if (access.at - stack_ < kStackBytes) return;
    if (access.at % alignment != 0) fail_misaligned(access);
    if (statics_.holds(access.at, access.bytes)) {
      record(statics_, access, clock.block());
    } else if (dynamic_.holds(access.at, access.bytes)) {
      record(dynamic_, access, clock.block());
    } else {
      Range& range = find(access);
      if (range.writable) {
        record(range, access, clock.launch());
      } else if (access.write) {
        fail_read_only(access);
      }
    }
  }

  Clock clock;

 private:
  void record(Range& range, const Access& access, uint32_t horizon) {
    const auto code =
        static_cast<uint32_t>(reinterpret_cast<uintptr_t>(access.code) - constants_.begin);
    const Conflict conflict = range.shadow.record(access.at - range.begin, access.bytes,
                                                  access.write, code, clock, horizon);
    if (conflict.earlier != nullptr) fail_conflict(range, access, conflict);
  }

  Range& find(const Access& access) {
    Range*& recent = access.write ? recently_written_ : recently_read_;
    if (recent == nullptr || !recent->holds(access.at, access.bytes)) recent = search(access);
    return *recent;
  }

  Range* search(const Access& access);
  void forget_recent() { recently_read_ = recently_written_ = nullptr; }
  std::vector<Range>::iterator first_after(uintptr_t at);  // the first range that ends after it
  std::string whereabouts(uintptr_t at);
  Dim3 block_of(const Stamp& stamp) const;

  [[noreturn]] void fail_misaligned(const Access& access);
  [[noreturn]] void fail_out_of_bounds(const Access& access);
  [[noreturn]] void fail_read_only(const Access& access);
  [[noreturn]] void fail_conflict(const Range& range, const Access& access, Conflict conflict);

  std::vector<Range> ranges_;  // in order, apart from each other
  Range* recently_read_ = nullptr;
  Range* recently_written_ = nullptr;

  Range constants_, statics_, dynamic_;
  std::vector<unsigned char> host_statics_;
  uintptr_t stack_ = 0;                            // of the running thread
  std::vector<std::pair<uint32_t, Dim3>> blocks_;  // of this launch, by the epoch they began in
};

extern Memory memory;

}  // namespace cuda_on_cpu
