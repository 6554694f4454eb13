// SPDX-License-Identifier: BSD-3-Clause
// The order of accesses: when each happened (a stamp), which of two happens before the other by the
// barriers between them (the clock), and the last accesses to each byte (the shadow).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fiber.h"

namespace cuda_on_cpu {

constexpr int kWarp = 32;

struct Stamp {
  uint32_t epoch = 0;      // barriers of blocks, and beginnings of blocks and launches, before it
  uint32_t warp_time = 0;  // by the clock of its thread
  int32_t thread = -1;     // of the block
  uint32_t code = 0;       // what did it, as an offset into the kernel's library
};

// Blocks run one after the other, so one count of epochs orders all but the threads of a block
// between two of its barriers. Those of a warp have vector clocks, which __syncwarp merges.
class Clock {
 public:
  Clock();
  void begin_launch() { launch_ = ++epoch_; }
  void begin_block() { block_ = ++epoch_; }
  void block_barrier() { ++epoch_; }
  void warp_barrier(int first_thread, unsigned mask);
  void resume(int thread) { now_ = {epoch_, seen_[thread][thread % kWarp], thread, 0}; }

  uint32_t launch() const { return launch_; }
  uint32_t block() const { return block_; }
  const Stamp& now() const { return now_; }

  // Whether `earlier` happens before what the running thread does now. Whatever precedes the epoch
  // `horizon` does; after it, there is no order between blocks.
  bool ordered(const Stamp& earlier, uint32_t horizon) const {
    if (earlier.epoch < horizon) return true;
    if (earlier.epoch < block_) return false;
    if (earlier.epoch < now_.epoch || earlier.thread == now_.thread) return true;
    return earlier.thread / kWarp == now_.thread / kWarp &&
           seen_[now_.thread][earlier.thread % kWarp] >= earlier.warp_time;
  }

 private:
  uint32_t epoch_ = 0, launch_ = 0, block_ = 0;
  Stamp now_;                              // of the running thread
  uint32_t seen_[kMaxFibers][kWarp] = {};  // by a thread, of each lane's time
};

// An access that is not ordered with the one to be recorded, if there is one.
struct Conflict {
  const Stamp* earlier = nullptr;
  bool wrote = false;
};

// The last accesses to a range of memory: those which some later access may conflict with.
class Shadow {
 public:
  void resize(size_t bytes);

  Conflict record(size_t offset, size_t bytes, bool write, uint32_t code, const Clock& clock,
                  uint32_t horizon) {
    const size_t end = offset + bytes;
    while (offset < end) {
      const size_t word = offset / kWord;
      const bool whole = offset % kWord == 0 && end - offset >= kWord && !is_split_[word];
      if (!whole && !is_split_[word]) split(word);
      Cell& cell = whole ? words_[word] : bytes_[offset];
      const Conflict conflict = record(cell, write, code, clock, horizon);
      if (conflict.earlier != nullptr) return conflict;
      offset += whole ? kWord : 1;
    }
    return {};
  }

  // The bytes, rounded up to words, that were touched in the epoch `since` or later.
  size_t touched(uint32_t since) const;

 private:
  static constexpr size_t kWord = 4;

  // The two reads are of different threads: whichever thread writes, one of them is another.
  struct Cell {
    Stamp write, read, other_read;
  };

  static Conflict record(Cell& cell, bool write, uint32_t code, const Clock& clock,
                         uint32_t horizon) {
    if (!clock.ordered(cell.write, horizon)) return {&cell.write, true};
    if (write) {
      if (!clock.ordered(cell.read, horizon)) return {&cell.read, false};
      if (!clock.ordered(cell.other_read, horizon)) return {&cell.other_read, false};
      // The reads happen before this write: what conflicts with them conflicts with it too.
      cell.write = clock.now();
      cell.write.code = code;
      cell.read = cell.other_read = Stamp{};
    } else {
      Stamp& read = clock.ordered(cell.read, horizon) ? cell.read : cell.other_read;
      read = clock.now();
      read.code = code;
    }
    return {};
  }

  void split(size_t word);

  std::vector<Cell> words_;
  std::vector<uint8_t> is_split_;  // into bytes, as some access was to a part of the word
  std::vector<Cell> bytes_;        // if any word is split
};

}  // namespace cuda_on_cpu
