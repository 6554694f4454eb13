// SPDX-License-Identifier: BSD-3-Clause
// Memory that tells when a kernel reads or writes what it should not. It is allocated to the byte,
// so that the address sanitizer sees the first step past its end, and filled with 0xff: a NaN as a
// floating-point number and nonsense as an index, so that what nobody wrote shows in the result.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

namespace cnnext {

class PoisonedMemory {
 public:
  static constexpr int kPoison = 0xff;

  explicit PoisonedMemory(int64_t bytes)
      : data_(static_cast<unsigned char*>(::operator new(static_cast<size_t>(bytes), kAlignment))) {
    std::memset(data_.get(), kPoison, static_cast<size_t>(bytes));
  }

  unsigned char* data() const { return data_.get(); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(unsigned char* p) const { ::operator delete(p, kAlignment); }
  };
  std::unique_ptr<unsigned char, Free> data_;
};

// A copy of what a kernel reads. It lies one element off alignment, as a view of a tensor may, and
// ends where the allocation ends.
template <class T>
class Input {
 public:
  Input(const T* values, int64_t size) : memory_((size + 1) * static_cast<int64_t>(sizeof(T))) {
    std::copy_n(values, size, data());
  }

  T* data() const { return reinterpret_cast<T*>(memory_.data()) + 1; }

 private:
  PoisonedMemory memory_;
};

// Where a kernel writes, between two guards. It, too, lies one element off alignment.
template <class T>
class Output {
 public:
  explicit Output(int64_t size) : size_(size), memory_(kBefore + payload_bytes() + kAfter) {
    std::memset(memory_.data(), kGuard, kBefore);
    std::memset(memory_.data() + kBefore + payload_bytes(), kGuard, kAfter);
  }

  T* data() const { return reinterpret_cast<T*>(memory_.data() + kBefore); }
  int64_t size() const { return size_; }

  bool guards_are_intact() const {
    const auto intact = [](unsigned char byte) { return byte == kGuard; };
    const unsigned char* const after = memory_.data() + kBefore + payload_bytes();
    return std::all_of(memory_.data(), memory_.data() + kBefore, intact) &&
           std::all_of(after, after + kAfter, intact);
  }

 private:
  static constexpr unsigned char kGuard = 0xa5;
  static constexpr int64_t kAfter = 256;
  static constexpr int64_t kBefore = kAfter + sizeof(T);

  int64_t payload_bytes() const { return size_ * static_cast<int64_t>(sizeof(T)); }

  int64_t size_;
  PoisonedMemory memory_;
};

}  // namespace cnnext
