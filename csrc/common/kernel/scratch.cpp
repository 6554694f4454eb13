// SPDX-License-Identifier: BSD-3-Clause
#include "common/kernel/scratch.h"

#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "common/kernel/arena.h"
#include "common/kernel/huge_pages.h"
#include "common/kernel/kernel.h"

#if defined(__linux__)
#include <pthread.h>
#endif

namespace cnnext {
namespace {

ScratchBlock allocate(int64_t bytes) {
  const size_t alignment = bytes < static_cast<int64_t>(kHugePage) ? 64 : kHugePage;
  ScratchBlock block;
  block.size = round_up(bytes, static_cast<int64_t>(alignment));
  block.bytes.reset(static_cast<unsigned char*>(std::aligned_alloc(alignment, block.size)));
  if (block.bytes == nullptr) {
    throw std::runtime_error("cnnext cannot allocate " + std::to_string(bytes) +
                             " bytes of scratch memory");
  }
  prefer_huge_pages(block.bytes.get(), block.size);
  return block;
}

void release(ScratchBlock block) {
  if (block.bytes != nullptr) give_pages_back(block.bytes.get(), block.size);
}

// The blocks that no call uses, the one used last at the end: what it holds of the caches is worth
// most. Whoever needs a larger one than there is replaces the last, so that they stay few.
class IdleBlocks {
 public:
  static IdleBlocks& instance() {
    static IdleBlocks* const blocks = new IdleBlocks;  // outlives the threads that use it
    return *blocks;
  }

  IdleBlocks() {
#if defined(__linux__)
    // As in the arena.
    pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                   [] { instance().mutex_.unlock(); });
#endif
  }

  // A block of at least `bytes` if there is one, else any block, or an empty one.
  ScratchBlock take(int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (blocks_.empty()) return {};
    size_t chosen = blocks_.size();
    while (chosen > 0 && blocks_[chosen - 1].size < bytes) --chosen;
    return take_at(chosen > 0 ? chosen - 1 : blocks_.size() - 1);
  }

  void give_back(ScratchBlock block) {
    if (block.size > Scratch::kMaxIdleBytes) return release(std::move(block));
    std::vector<ScratchBlock> surplus;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      bytes_ += block.size;
      blocks_.push_back(std::move(block));
      while (bytes_ > Scratch::kMaxIdleBytes) surplus.push_back(take_at(0));
    }
    for (ScratchBlock& each : surplus) release(std::move(each));
  }

  void release_all() {
    std::vector<ScratchBlock> all;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      all.swap(blocks_);
      bytes_ = 0;
    }
    for (ScratchBlock& each : all) release(std::move(each));
  }

 private:
  ScratchBlock take_at(size_t index) {
    ScratchBlock block = std::move(blocks_[index]);
    blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(index));
    bytes_ -= block.size;
    return block;
  }

  std::mutex mutex_;
  std::vector<ScratchBlock> blocks_;
  int64_t bytes_ = 0;
};

}  // namespace

unsigned char* Scratch::reserve(int64_t bytes) {
  if (bytes == 0) return nullptr;
  if (bytes >= Arena::kLeast) {
    large_ = Arena::instance().take(bytes);
    large_bytes_ = bytes;
    if (large_ != nullptr) return static_cast<unsigned char*>(large_);
  }
  block_ = IdleBlocks::instance().take(bytes);
  if (block_.size < bytes) {
    release(std::move(block_));
    block_ = ScratchBlock{};
    block_ = allocate(bytes);
  }
  return block_.bytes.get();
}

void Scratch::release_idle() { IdleBlocks::instance().release_all(); }

Scratch::~Scratch() {
  if (large_ != nullptr) Arena::instance().give_back(large_, large_bytes_);
  if (block_.bytes != nullptr) IdleBlocks::instance().give_back(std::move(block_));
}

}  // namespace cnnext
