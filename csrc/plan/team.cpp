// SPDX-License-Identifier: BSD-3-Clause
#include "plan/team.h"

#include <thread>
#include <utility>

namespace cnnext {
namespace plan {
namespace {

// Waits as long as phases take, and then lets other threads have the core.
template <class Ready>
void wait_until(const Ready& ready) {
  constexpr int kPauses = 20000;
  for (int i = 0; !ready(); ++i) {
    if (i >= kPauses) std::this_thread::yield();
#if CNNEXT_X86
    __builtin_ia32_pause();
#endif
  }
}

}  // namespace

void Team::run(int threads, const Parallel& start,
               const std::function<void(const Parallel&)>& lead) {
  Team team(threads);
  start(threads, [&](int64_t index) {
    if (index > 0) return team.follow(index);
    const struct Dismissal {  // whatever happens
      Team& team;
      ~Dismissal() { team.dismiss(); }
    } dismissal{team};
    lead([&](int64_t count, const Body& body) { team.share_out(count, body); });
  });
}

void Team::share_out(int64_t count, const Body& body) {
  const int64_t chunks = min(count, static_cast<int64_t>(claims_.size()));
  if (chunks <= 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  count_ = count;
  body_ = &body;
  done_.store(0, std::memory_order_relaxed);
  const Job job{++last_, chunks};
  job_.store(job.word(), std::memory_order_release);
  work(0, job);
  wait_until([&] { return done_.load(std::memory_order_acquire) == chunks; });
  if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Team::follow(int64_t index) {
  for (uint64_t seen = 0;;) {
    uint64_t word = 0;
    wait_until([&] { return (word = job_.load(std::memory_order_acquire)) != seen; });
    const Job job = Job::of(word);
    if (job.chunks == Job::kNoMore) return;
    work(index, job);
    seen = word;
  }
}

void Team::dismiss() { job_.store(Job{++last_, Job::kNoMore}.word(), std::memory_order_release); }

void Team::work(int64_t index, const Job& job) {
  for (int64_t i = 0; i < job.chunks; ++i) {
    const int64_t chunk = (index + i) % job.chunks;
    if (!take(chunk, job)) continue;
    try {
      run_chunk(chunk, job);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (error_ == nullptr) error_ = std::current_exception();
    }
    done_.fetch_add(1, std::memory_order_release);
  }
}

void Team::run_chunk(int64_t chunk, const Job& job) {
  const int64_t last = count_ * (chunk + 1) / job.chunks;
  for (int64_t i = count_ * chunk / job.chunks; i < last; ++i) (*body_)(i);
}

// Whether the chunk is this thread's now. Whoever comes late, with a job of which all chunks are
// done, gets none.
bool Team::take(int64_t chunk, const Job& job) {
  std::atomic<uint64_t>& last = claims_[chunk].job;
  uint64_t before = last.load(std::memory_order_relaxed);
  return before < job.number &&
         last.compare_exchange_strong(before, job.number, std::memory_order_acq_rel);
}

}  // namespace plan
}  // namespace cnnext
