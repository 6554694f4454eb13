// SPDX-License-Identifier: BSD-3-Clause
#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "block.h"
#include "fault.h"

namespace cuda_on_cpu {

Memory memory;

namespace {

// All bits set is NaN in every floating-point type.
constexpr int kPoison = 0xff;

// Dynamic shared memory has so much of nothing around it that who leaves it arrives nowhere else.
uintptr_t reserve_dynamic_shared() {
  constexpr size_t kMargin = size_t{1} << 30;
  void* const memory =
      mmap(nullptr, 2 * kMargin, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  unsigned char* const begin = static_cast<unsigned char*>(memory) + kMargin;
  if (mprotect(begin, kMaxDynamicShared, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
  return reinterpret_cast<uintptr_t>(begin);
}

std::string text(const Access& access) {
  return (access.write ? "writes " : "reads ") + std::to_string(access.bytes) +
         (access.bytes == 1 ? " byte" : " bytes");
}

}  // namespace

// -------------------------------------------------------------------------------------- ranges

std::vector<Range>::iterator Memory::first_after(uintptr_t at) {
  return std::upper_bound(ranges_.begin(), ranges_.end(), at, [](uintptr_t at, const Range& range) {
    return at < range.begin + range.bytes;
  });
}

void Memory::allow(uintptr_t begin, size_t bytes, bool writable) {
  if (bytes == 0) return;
  uintptr_t end = begin + bytes;
  auto next = first_after(begin);
  while (next != ranges_.end() && next->begin < end) {
    begin = std::min(begin, next->begin);
    end = std::max(end, next->begin + next->bytes);
    writable |= next->writable;
    next = ranges_.erase(next);
  }
  Range& range = *ranges_.insert(next, Range{begin, end - begin, writable});
  if (writable) range.shadow.resize(range.bytes);
  forget_recent();
}

void Memory::forget(uintptr_t begin) {
  const auto range = first_after(begin);
  if (range != ranges_.end() && range->holds(begin, 1)) ranges_.erase(range);
  forget_recent();
}

void Memory::forget_all() {
  ranges_.clear();
  forget_recent();
}

Range* Memory::search(const Access& access) {
  const auto range = first_after(access.at);
  if (range != ranges_.end() && range->holds(access.at, access.bytes)) return &*range;
  if (!constants_.holds(access.at, access.bytes)) fail_out_of_bounds(access);
  return &constants_;
}

// ---------------------------------------------------------------------------------- the launch

void Memory::begin_launch(const Library& library, size_t dynamic_bytes) {
  clock.begin_launch();
  blocks_.clear();
  constants_.begin = library.constants;
  constants_.bytes = library.constant_bytes;
  if (statics_.bytes != library.static_bytes) statics_.shadow.resize(library.static_bytes);
  statics_.begin = library.statics;
  statics_.bytes = library.static_bytes;
  const auto* const first = reinterpret_cast<const unsigned char*>(statics_.begin);
  host_statics_.assign(first, first + statics_.bytes);
  if (dynamic_.begin == 0) dynamic_.begin = reserve_dynamic_shared();
  if (dynamic_.bytes != dynamic_bytes) dynamic_.shadow.resize(dynamic_bytes);
  dynamic_.bytes = dynamic_bytes;
}

void Memory::begin_block(Dim3 index) {
  clock.begin_block();
  blocks_.emplace_back(clock.block(), index);
  for (const Range* shared : {&statics_, &dynamic_}) {
    if (shared->bytes == 0) continue;
    std::memset(reinterpret_cast<void*>(shared->begin), kPoison, shared->bytes);
  }
}

void Memory::end_launch() {
  std::copy(host_statics_.begin(), host_statics_.end(),
            reinterpret_cast<unsigned char*>(statics_.begin));
}

void Memory::resume(int thread) {
  clock.resume(thread);
  stack_ = stacks.begin(thread);
}

// ---------------------------------------------------------------------------------- the faults

std::string Memory::whereabouts(uintptr_t at) {
  if (stacks.hold(at)) return "in the local memory of another thread";
  const Range* nearest = nullptr;
  size_t min_distance = SIZE_MAX;
  const auto consider = [&](const Range& range) {
    const uintptr_t end = range.begin + range.bytes;
    const size_t distance = at < range.begin ? range.begin - at : at < end ? 0 : at - end;
    if (range.bytes > 0 && distance < min_distance) {
      min_distance = distance;
      nearest = &range;
    }
  };
  for (const Range& range : ranges_) consider(range);
  consider(dynamic_);
  consider(statics_);
  if (nearest == nullptr) return "where no memory is";
  const std::string which = (nearest == &dynamic_   ? "dynamic shared memory of "
                             : nearest == &statics_ ? "static shared memory of "
                                                    : "global memory of ") +
                            std::to_string(nearest->bytes) + " bytes";
  if (at < nearest->begin) return std::to_string(min_distance) + " bytes before " + which;
  if (min_distance > 0) return std::to_string(min_distance) + " bytes past the end of " + which;
  if (at == nearest->begin + nearest->bytes) return "at the end of " + which;
  return "across the end of " + which;
}

Dim3 Memory::block_of(const Stamp& stamp) const {
  const auto next =
      std::upper_bound(blocks_.begin(), blocks_.end(), stamp.epoch,
                       [](uint32_t epoch, const auto& block) { return epoch < block.first; });
  return std::prev(next)->second;
}

void Memory::fail_misaligned(const Access& access) {
  fail(FaultKind::misaligned, place(access.code),
       text(access) + " at an address that is no multiple of that");
}

void Memory::fail_out_of_bounds(const Access& access) {
  fail(FaultKind::out_of_bounds, place(access.code), text(access) + " " + whereabouts(access.at));
}

void Memory::fail_read_only(const Access& access) {
  fail(FaultKind::read_only, place(access.code), text(access));
}

void Memory::fail_conflict(const Range& range, const Access& access, Conflict conflict) {
  const Stamp& earlier = *conflict.earlier;
  const bool same_block = earlier.epoch >= clock.block();
  const bool global = &range != &statics_ && &range != &dynamic_;
  const std::string who = thread_text(thread_index_of(earlier.thread)) +
                          (same_block ? "" : " of " + block_text(block_of(earlier)));
  fail(same_block ? FaultKind::race : FaultKind::block_conflict, place(access.code),
       std::string(access.write ? "writes " : "reads ") + (global ? "global" : "shared") +
           " memory that " + who + (conflict.wrote ? " wrote" : " read") + " at " +
           place(reinterpret_cast<const void*>(constants_.begin + earlier.code)) +
           (same_block ? ", with no barrier between" : ""));
}

}  // namespace cuda_on_cpu
