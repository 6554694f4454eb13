// SPDX-License-Identifier: BSD-3-Clause
// Predicted seconds of the forms of a product with m rows of activations: blocks, their transpose,
// and dots.
#pragma once

#include <algorithm>

#include "common/kernel/cost.h"

namespace cnnext {

// Packing reads the matrix of weights in pieces, and writes it again.
constexpr double kPackedWeightsPerSecond = 1.5e9;
constexpr double kCopiedWeightsPerSecond = 2e9;
constexpr double kStreamedWeightsPerSecond = 2.6e9;

constexpr double kPhaseSeconds = 1e-5;  // to pack and wait for it

// The part of the tiles' rate that others reach: blocks most of it; dots are slowed by their loads
// and final sums.
constexpr double kBlockedRate = 0.8;
constexpr double kDotRate = 0.25;

inline double blocked_seconds(int64_t m, double macs, Isa isa, int threads) {
  const double weights = macs / static_cast<double>(m);
  return (macs / (kBlockedRate * tile_macs_per_second(isa)) + weights / kPackedWeightsPerSecond) /
         threads;
}

// Seconds of y^T = w x^T: the activations are packed instead, and the result is transposed. Lanes
// are rows.
inline double transposed_seconds(int64_t m, int64_t n, int64_t k, Isa isa, int threads) {
  const auto lanes = static_cast<double>(round_up(m, simd_lanes(isa)));
  const double weights = static_cast<double>(n) * static_cast<double>(k);
  const double moved = static_cast<double>(m) * static_cast<double>(n + k);
  return kPhaseSeconds + (lanes * weights / (kBlockedRate * tile_macs_per_second(isa)) +
                          weights / kCopiedWeightsPerSecond + moved / kPackedWeightsPerSecond) /
                             threads;
}

inline double dot_seconds(int64_t m, double macs, Isa isa, int threads) {
  const double weights = macs / static_cast<double>(m);
  return std::max(macs / (kDotRate * tile_macs_per_second(isa)),
                  weights / kStreamedWeightsPerSecond) /
         threads;
}

}  // namespace cnnext
