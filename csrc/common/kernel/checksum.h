// SPDX-License-Identifier: BSD-3-Clause
// A checksum that tells whether memory still holds what it held: not against forgery, but at the
// speed of memory. A change of any one word changes it for certain, any other change but for one in
// 2^64.
#pragma once

#include <cstdint>

#include "common/kernel/kernel.h"

namespace cnnext {
namespace {
namespace checksum_detail {
constexpr int kLanes = 32;  // independent, for vectors and to hide the latency of multiplications
constexpr uint64_t kMix = 0x9E3779B97F4A7C15;

// The rotation brings high bits down again, or two flipped signs would cancel each other; the sum
// of all states remembers a difference that a later word takes back.
CNNEXT_INLINE uint32_t step(uint32_t state, uint32_t word) {
  const uint32_t mixed = (state ^ word) * 0x9E3779B1u;
  return mixed << 15 | mixed >> 17;
}
}  // namespace checksum_detail

CNNEXT_INLINE uint64_t combine_checksums(uint64_t a, uint64_t b) {
  const uint64_t mixed = (a ^ b) * checksum_detail::kMix;
  return mixed << 29 | mixed >> 35;
}

CNNEXT_INLINE uint64_t checksum(const uint32_t* words, int64_t count) {
  using namespace checksum_detail;
  uint32_t states[kLanes] = {}, sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      states[lane] = step(states[lane], words[i + lane]);
      sums[lane] += states[lane];
    }
  }
  for (int lane = 0; i < count; ++i, ++lane) {
    states[lane] = step(states[lane], words[i]);
    sums[lane] += states[lane];
  }
  uint64_t all = static_cast<uint64_t>(count);
  for (int lane = 0; lane < kLanes; ++lane) {
    all = combine_checksums(all, uint64_t{states[lane]} << 32 | sums[lane]);
  }
  return all;
}

}  // namespace
}  // namespace cnnext
