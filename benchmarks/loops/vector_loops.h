// SPDX-License-Identifier: BSD-3-Clause
// The loops on vectors of N floats, for <isa>.cpp to compile with its flags.
#pragma once

#include "common/simd/simd.h"
#include "loops/loops.h"

namespace cnnext {
namespace {

// Sums that wait for nothing but themselves: at least a multiply-add's latency (4 cycles, 5 on
// older processors) times the two that begin in a cycle, and few enough that the sixteen registers
// of AVX2 hold them beside both operands.
constexpr int kSums = 12;

// Vectors moved in one step of a walk through memory, which makes the loop's own cost small.
constexpr int kUnrolled = 8;

// Between two passes over the same memory: without it, the compiler could fuse them into one.
CNNEXT_INLINE void forget_memory() { asm volatile("" ::: "memory"); }

template <int N>
float multiply_add(int64_t steps) {
  // The sums approach the limit of their series, and become neither infinite nor denormal.
  const f32<N> factor = broadcast<N>(0.987f), term = broadcast<N>(0.123f);
  f32<N> sums[kSums];
  CNNEXT_UNROLL(16)
  for (int i = 0; i < kSums; ++i) sums[i] = broadcast<N>(static_cast<float>(i));
  for (int64_t step = 0; step < steps; ++step) {
    CNNEXT_UNROLL(16)
    for (int i = 0; i < kSums; ++i) sums[i] = sums[i] * factor + term;
  }
  f32<N> total{};
  CNNEXT_UNROLL(16)
  for (int i = 0; i < kSums; ++i) total += sums[i];
  return sum_of_lanes<N>(total);
}

// Bits are combined, not numbers added: that begins more often in a cycle than a vector arrives.
template <int N>
int32_t read(const float* x, int64_t count, int64_t passes) {
  i32<N> seen[kUnrolled] = {};
  for (int64_t pass = 0; pass < passes; ++pass) {
    for (int64_t i = 0; i < count; i += kUnrolled * N) {
      CNNEXT_UNROLL(16)
      for (int j = 0; j < kUnrolled; ++j) {
        seen[j] ^= reinterpret_cast<i32<N>>(load<N>(x + i + j * N));
      }
    }
    forget_memory();
  }
  i32<N> all{};
  CNNEXT_UNROLL(16)
  for (int j = 0; j < kUnrolled; ++j) all ^= seen[j];
  return all[0];
}

template <int N>
void copy(float* y, const float* x, int64_t count, int64_t passes) {
  for (int64_t pass = 0; pass < passes; ++pass) {
    for (int64_t i = 0; i < count; i += kUnrolled * N) {
      f32<N> moved[kUnrolled];
      CNNEXT_UNROLL(16)
      for (int j = 0; j < kUnrolled; ++j) moved[j] = load<N>(x + i + j * N);
      CNNEXT_UNROLL(16)
      for (int j = 0; j < kUnrolled; ++j) store<N>(y + i + j * N, moved[j]);
    }
    forget_memory();
  }
}

template <int N>
constexpr Loops loops_of_vectors() {
  static_assert(kLoopBlock % (kUnrolled * N) == 0);
  return {2 * kSums * N, multiply_add<N>, read<N>, copy<N>};
}

}  // namespace
}  // namespace cnnext
