// SPDX-License-Identifier: BSD-3-Clause
// Predicted seconds of the two forms of a product with m rows of activations: blocks, and dots.
#pragma once

#include <algorithm>

#include "common/cost.h"

namespace cnnext {

// Packing reads the matrix of weights in pieces, and writes it again.
constexpr double kPackedWeightsPerSecond = 1.5e9;
constexpr double kStreamedWeightsPerSecond = 2.6e9;

// Of the tiles' rate: blocks reach most of it, dots are slowed by their loads and final sums.
constexpr double kBlockedRate = 0.8;
constexpr double kDotRate = 0.35;

inline double blocked_seconds(int64_t m, double macs, Isa isa, int threads) {
  const double weights = macs / static_cast<double>(m);
  return (macs / (kBlockedRate * tile_macs_per_second(isa)) + weights / kPackedWeightsPerSecond) /
         threads;
}

inline double dot_seconds(int64_t m, double macs, Isa isa, int threads) {
  const double weights = macs / static_cast<double>(m);
  return std::max(macs / (kDotRate * tile_macs_per_second(isa)),
                  weights / kStreamedWeightsPerSecond) /
         threads;
}

}  // namespace cnnext
