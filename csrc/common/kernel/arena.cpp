// SPDX-License-Identifier: BSD-3-Clause
#include "common/kernel/arena.h"

#include <cstdlib>
#include <cstring>

#include "common/kernel/huge_pages.h"
#include "common/kernel/kernel.h"

#if defined(__linux__)
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

namespace cnnext {
namespace {

constexpr int64_t kGrain = 1 << 16;  // of sizes
constexpr int64_t kGrowth = int64_t{32} << 20;
// So many blocks later it is seen whether fewer pages would do: some steps of any network.
constexpr int64_t kPeriod = 4096;

}  // namespace

Arena& Arena::instance() {
  static Arena* const arena = new Arena;  // tensors may outlive the end of the program
  return *arena;
}

Arena::Arena() {
#if defined(__linux__)
  const char* const keep = std::getenv("CNNEXT_KEEP_MEMORY");
  if (keep != nullptr && std::strcmp(keep, "0") == 0) return;
  rlimit addresses;
  if (getrlimit(RLIMIT_AS, &addresses) != 0 || addresses.rlim_cur != RLIM_INFINITY) return;
  const int64_t page = static_cast<int64_t>(kHugePage);
  const int64_t bytes =
      static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE) / page * page;
  // What cannot be written to counts towards no limit of data, and is promised to nobody.
  void* const reserved =
      mmap(nullptr, bytes + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return;
  base_ = reinterpret_cast<unsigned char*>(round_up(reinterpret_cast<int64_t>(reserved), page));
  capacity_ = bytes;
  prefer_huge_pages(base_, capacity_);
  // A child has the thread that forked alone, and none to unlock what another held.
  pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                 [] { instance().mutex_.unlock(); });
#endif
}

void* Arena::take(int64_t bytes) {
  if (bytes > capacity_) return nullptr;
  const int64_t size = round_up(bytes, kGrain);
  const std::lock_guard<std::mutex> lock(mutex_);
  // With a block between any two free ranges, giving back never allocates.
  const size_t ranges = static_cast<size_t>(blocks_) + 2;
  if (free_.capacity() < ranges) free_.reserve(2 * ranges);
  Range* chosen = nullptr;
  for (Range& range : free_) {
    const int64_t length = range.end - range.begin;
    if (length >= size && (chosen == nullptr || length < chosen->end - chosen->begin)) {
      chosen = &range;
    }
  }
  int64_t begin;
  if (chosen != nullptr) {
    begin = chosen->begin;
    chosen->begin += size;
    if (chosen->begin == chosen->end) free_.erase(free_.begin() + (chosen - free_.data()));
  } else {
    const bool at_end = !free_.empty() && free_.back().end == end_;
    begin = at_end ? free_.back().begin : end_;
    if (!grow(begin + size)) return nullptr;
    if (at_end) free_.pop_back();
  }
  ++blocks_;
  used_ += size;
  most_ = max(most_, used_);
  if (++takes_ % kPeriod == 0) release_surplus();
  return base_ + begin;
}

void Arena::give_back(void* block, int64_t bytes) noexcept {
  const int64_t size = round_up(bytes, kGrain);
  const std::lock_guard<std::mutex> lock(mutex_);
  Range range{static_cast<unsigned char*>(block) - base_, 0};
  range.end = range.begin + size;
  --blocks_;
  used_ -= size;
  auto next = free_.begin();
  while (next != free_.end() && next->begin < range.begin) ++next;
  if (next != free_.end() && next->begin == range.end) {
    range.end = next->end;
    next = free_.erase(next);
  }
  if (next != free_.begin() && (next - 1)->end == range.begin) {
    (next - 1)->end = range.end;
  } else {
    free_.insert(next, range);
  }
}

void Arena::release_free() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Range& range : free_) release(range);
}

// Whether there are blocks up to this end from now on.
bool Arena::grow([[maybe_unused]] int64_t end) {
#if defined(__linux__)
  if (end > capacity_) return false;
  if (end > writable_) {
    const int64_t writable = min(round_up(end, kGrowth), capacity_);
    if (mprotect(base_ + writable_, writable - writable_, PROT_READ | PROT_WRITE) != 0) {
      return false;
    }
    writable_ = writable;
  }
  end_ = end;
  return true;
#else
  return false;
#endif
}

void Arena::release([[maybe_unused]] Range range) {
#if defined(__linux__)
  madvise(base_ + range.begin, range.end - range.begin, MADV_DONTNEED);
#endif
}

// Gives the last of the free pages back if far fewer were in use at once of late.
void Arena::release_surplus() {
  const int64_t enough = max(most_, most_before_) / 4 * 5;
  most_before_ = most_;
  most_ = used_;
  int64_t kept = max(0, enough - used_);
  for (const Range& range : free_) {
    const int64_t begin = min(range.end, range.begin + kept);
    kept -= begin - range.begin;
    if (begin < range.end) release({begin, range.end});
  }
}

}  // namespace cnnext
