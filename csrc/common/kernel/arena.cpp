// SPDX-License-Identifier: BSD-3-Clause
#include "common/kernel/arena.h"

#include <cstdlib>
#include <cstring>

#include "common/kernel/huge_pages.h"
#include "common/kernel/kernel.h"

#if defined(__linux__)
#include <unistd.h>
#endif

namespace cnnext {
namespace {

constexpr int64_t kGrain = 1 << 16;  // of sizes
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
  const int64_t page = static_cast<int64_t>(kHugePage);
  const int64_t bytes =
      static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE) / page * page;
  void* const addresses = mmap(nullptr, bytes + page, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (addresses == MAP_FAILED) return;
  base_ = reinterpret_cast<unsigned char*>(round_up(reinterpret_cast<int64_t>(addresses), page));
  capacity_ = bytes;
  prefer_huge_pages(base_, capacity_);
#endif
}

void* Arena::take(int64_t bytes) {
  const int64_t size = round_up(bytes, kGrain);
  const std::lock_guard<std::mutex> lock(mutex_);
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
    if (size > capacity_ - begin) return nullptr;
    if (at_end) free_.pop_back();
    end_ = begin + size;
  }
  used_ += size;
  most_ = max(most_, used_);
  if (++takes_ % kPeriod == 0) shrink();
  return base_ + begin;
}

void Arena::give_back(void* block, int64_t bytes) {
  const int64_t size = round_up(bytes, kGrain);
  const std::lock_guard<std::mutex> lock(mutex_);
  Range range{static_cast<unsigned char*>(block) - base_, 0};
  range.end = range.begin + size;
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
  if (!free_.empty() && free_.back().end == end_) {
    end_ = free_.back().begin;
    free_.pop_back();
  }
}

void Arena::release(Range range) { give_pages_back(base_ + range.begin, range.end - range.begin); }

// Gives the last pages back if far fewer than there are were in use at once of late.
void Arena::shrink() {
  const int64_t enough = max(most_, most_before_) / 4 * 5;
  most_before_ = most_;
  most_ = used_;
  if (free_.empty() || free_.back().end != end_ || end_ <= enough) return;
  Range& last = free_.back();
  const Range surplus{max(last.begin, round_up(enough, static_cast<int64_t>(kHugePage))), end_};
  if (surplus.begin >= surplus.end) return;
  release(surplus);
  end_ = last.end = surplus.begin;
  if (last.begin == last.end) free_.pop_back();
}

}  // namespace cnnext
