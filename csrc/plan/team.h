// SPDX-License-Identifier: BSD-3-Clause
// Threads that stay together for a call. To start and await threads takes half a microsecond with
// two of them and more with many, for each of the hundred phases of a call; to hand a phase to
// threads that wait for it takes a tenth of that.
//
// One thread leads: it runs what is serial, and shares out what is not in chunks. Each thread has a
// chunk of its own, so that what it wrote in one phase is in its cache in the next, and takes those
// of others which have not come yet. The leader never waits for a thread, only for chunks that one
// has taken: with fewer threads than were asked for, or none, it does all the work.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <vector>

#include "plan/step.h"

namespace cnnext {
namespace plan {

class Team {
 public:
  // Calls lead(parallel) on this thread, where parallel() shares out work among `threads` of them;
  // `start` is what starts threads otherwise.
  static void run(int threads, const Parallel& start,
                  const std::function<void(const Parallel&)>& lead);

 private:
  using Body = std::function<void(int64_t)>;

  // Each in a cache line of its own: the last job of which the chunk was taken.
  struct alignas(64) Claim {
    std::atomic<uint64_t> job{0};
  };

  // In one word, so that nobody takes the chunks of one job for those of another.
  struct Job {
    uint64_t number;
    int64_t chunks;

    static constexpr int kChunkBits = 16;
    static constexpr int64_t kNoMore = (int64_t{1} << kChunkBits) - 1;  // the call is over
    uint64_t word() const { return number << kChunkBits | static_cast<uint64_t>(chunks); }
    static Job of(uint64_t word) {
      return {word >> kChunkBits, static_cast<int64_t>(word & kNoMore)};
    }
  };

  explicit Team(int threads) : claims_(threads) {}

  void share_out(int64_t count, const Body& body);
  void follow(int64_t index);
  void dismiss();
  void work(int64_t index, const Job& job);
  void run_chunk(int64_t chunk, const Job& job);
  bool take(int64_t chunk, const Job& job);

  std::vector<Claim> claims_;  // of as many chunks as there are threads
  uint64_t last_ = 0;          // job
  // The current job; neither changes until all of its chunks are done.
  int64_t count_ = 0;
  const Body* body_ = nullptr;
  std::mutex mutex_;          // of the next
  std::exception_ptr error_;  // the first that a chunk has thrown
  alignas(64) std::atomic<uint64_t> job_{0};
  alignas(64) std::atomic<int64_t> done_{0};
};

}  // namespace plan
}  // namespace cnnext
