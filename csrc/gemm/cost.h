// SPDX-License-Identifier: BSD-3-Clause
// Predicted seconds of the forms of a product with m rows of activations: blocks, their transpose,
// and dots.
#pragma once

#include <algorithm>

#include "common/kernel/machine.h"

namespace cnnext {

// The part of the tiles' rate that others reach: blocks most of it; dots are slowed by their loads
// and final sums.
constexpr double kBlockedRate = 0.8;
constexpr double kDotRate = 0.3;

inline double blocked_seconds(int64_t m, double macs, Isa isa, int threads) {
  const Rates& r = rates(isa);
  const double weights = macs / static_cast<double>(m);
  return (macs / (kBlockedRate * r.tile_macs) + weights / r.packed_floats) / threads;
}

// Seconds of y^T = w x^T: the activations are packed instead, and the result is transposed. Lanes
// are rows.
inline double transposed_seconds(int64_t m, int64_t n, int64_t k, Isa isa, int threads) {
  const Rates& r = rates(isa);
  const auto lanes = static_cast<double>(round_up(m, simd_lanes(isa)));
  const double weights = static_cast<double>(n) * static_cast<double>(k);
  const double moved = static_cast<double>(m) * static_cast<double>(n + k);
  return 2 * r.phase_seconds + (lanes * weights / (kBlockedRate * r.tile_macs) +
                                weights / r.copied_floats + moved / r.packed_floats) /
                                   threads;
}

inline double dot_seconds(int64_t m, double macs, Isa isa, int threads) {
  const Rates& r = rates(isa);
  const double weight_bytes = 4 * macs / static_cast<double>(m);
  return std::max(macs / (kDotRate * r.tile_macs), weight_bytes / r.memory_bytes) / threads;
}

}  // namespace cnnext
