// SPDX-License-Identifier: BSD-3-Clause
// Memory that tells when a kernel reads or writes what it should not. It lies between two pages
// that nobody may touch and touches one of them, so that the first step over that edge ends the
// process. It is filled with 0xff: a NaN as a floating-point number and nonsense as an index, so
// that what nobody wrote shows in the result.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "common/kernel/kernel.h"

namespace cnnext {

// Where memory touches a forbidden page: at its first or behind its last element.
enum class Edge : int { front, back };

inline Edge& current_edge() {
  static Edge edge = Edge::back;
  return edge;
}

class GuardedMemory {
 public:
  GuardedMemory(int64_t bytes, int64_t alignment)
      : bytes_(bytes), page_(sysconf(_SC_PAGESIZE)), open_bytes_(round_up(max(bytes, 1), page_)) {
    const size_t all = static_cast<size_t>(open_bytes_ + 2 * page_);
    void* const pages =
        mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    pages_ = {static_cast<unsigned char*>(pages), Unmap{all}};
    permit(PROT_READ | PROT_WRITE);
    const bool at_front = current_edge() == Edge::front;
    data_ = open() + (at_front ? 0 : open_bytes_ - round_up(bytes, alignment));
    std::memset(open(), kGuard, static_cast<size_t>(open_bytes_));
    std::memset(data_, kPoison, static_cast<size_t>(bytes_));
  }

  unsigned char* data() const { return data_; }

  // From here on, who writes ends the process.
  void forbid_writes() const { permit(PROT_READ); }

  // Whether nobody has written between the data and the forbidden pages.
  bool is_intact() const {
    const auto untouched = [](unsigned char byte) { return byte == kGuard; };
    return std::all_of(open(), data_, untouched) &&
           std::all_of(data_ + bytes_, open() + open_bytes_, untouched);
  }

 private:
  static constexpr int kPoison = 0xff;
  static constexpr unsigned char kGuard = 0xa5;

  struct Unmap {
    size_t bytes;
    void operator()(unsigned char* pages) const { munmap(pages, bytes); }
  };

  unsigned char* open() const { return pages_.get() + page_; }
  void permit(int access) const {
    if (mprotect(open(), static_cast<size_t>(open_bytes_), access) != 0) throw std::bad_alloc();
  }

  int64_t bytes_, page_, open_bytes_;  // page_ is the size of a page; open are those in between
  std::unique_ptr<unsigned char, Unmap> pages_{nullptr, Unmap{0}};
  unsigned char* data_ = nullptr;
};

// A copy of what a kernel reads and must not change. It is aligned to its elements, as a view of a
// tensor may be, and no better unless its size makes it so.
template <class T>
class Input {
 public:
  Input(const T* values, int64_t size)
      : memory_(size * static_cast<int64_t>(sizeof(T)), sizeof(T)) {
    std::copy_n(values, size, data());
    memory_.forbid_writes();
  }

  T* data() const { return reinterpret_cast<T*>(memory_.data()); }

 private:
  GuardedMemory memory_;
};

// Where a kernel writes.
template <class T>
class Output {
 public:
  explicit Output(int64_t size)
      : size_(size), memory_(size * static_cast<int64_t>(sizeof(T)), sizeof(T)) {}

  T* data() const { return reinterpret_cast<T*>(memory_.data()); }
  int64_t size() const { return size_; }
  bool is_intact() const { return memory_.is_intact(); }

 private:
  int64_t size_;
  GuardedMemory memory_;
};

}  // namespace cnnext
