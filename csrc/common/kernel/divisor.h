// SPDX-License-Identifier: BSD-3-Clause
// Division by numbers that are the same for a whole kernel: a multiplication and a shift, where a
// GPU, which has no instruction that divides, takes a hundred of them.
//
// Granlund and Montgomery, "Division by invariant integers using multiplication", 1994: with
// 2^(s-1) < d <= 2^s and m = ceil(2^(63+s) / d), which fits 64 bits, floor(n / d) is
// floor(n m / 2^(63+s)) for every 0 <= n < 2^63.
#pragma once

#include <cstdint>

#include "common/kernel/isa.h"

namespace cnnext {

class Divisor {
 public:
  CNNEXT_INLINE explicit Divisor(int64_t d) : divisor_(d) {
    while (static_cast<uint64_t>(d) > uint64_t{1} << (shift_ + 1)) ++shift_;
    if (d > 1) {
      const unsigned __int128 power = static_cast<unsigned __int128>(1) << (64 + shift_);
      multiplier_ = static_cast<uint64_t>((power + (d - 1)) / static_cast<uint64_t>(d));
    }
  }

  // floor(n / d), for n >= 0.
  CNNEXT_INLINE int64_t quotient(int64_t n) const {
    if (divisor_ == 1) return n;
#if defined(__CUDA_ARCH__)
    const uint64_t high = __umul64hi(static_cast<uint64_t>(n), multiplier_);
#else
    const auto high = static_cast<uint64_t>(static_cast<unsigned __int128>(n) * multiplier_ >> 64);
#endif
    return static_cast<int64_t>(high >> shift_);
  }

  CNNEXT_INLINE int64_t divisor() const { return divisor_; }

 private:
  int64_t divisor_;
  uint64_t multiplier_ = 0;
  int shift_ = 0;  // s - 1
};

// A number as three digits: slow * (middles * fasts) + middle * fasts + fast.
struct Digits {
  int64_t slow, middle, fast;
};

class Radix {
 public:
  CNNEXT_INLINE Radix(int64_t middles, int64_t fasts) : middles_(middles), fasts_(fasts) {}

  CNNEXT_INLINE Digits split(int64_t number) const {
    const int64_t above = fasts_.quotient(number), slow = middles_.quotient(above);
    return {slow, above - slow * middles_.divisor(), number - above * fasts_.divisor()};
  }

 private:
  Divisor middles_, fasts_;
};

}  // namespace cnnext
