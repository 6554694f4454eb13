// SPDX-License-Identifier: BSD-3-Clause
// Predicted seconds of the two forms of a product with m rows of activations: blocks, and dots.
#pragma once

#include "common/cost.h"

namespace cnnext {

inline double blocked_seconds(int64_t m, double macs, Isa isa, int threads) {
  // Packing a weight costs about as much as eight rows' multiply-adds with it.
  constexpr double kPackingRows = 8;
  const double rows = static_cast<double>(m);
  return (rows + kPackingRows) / rows * macs / (tile_macs_per_second(isa) * threads);
}

inline double dot_seconds(double macs, Isa isa, int threads) {
  // One load for every two multiply-adds, which costs the load ports about this much.
  constexpr double kLoads = 1.4;
  return kLoads * macs / (tile_macs_per_second(isa) * threads);
}

}  // namespace cnnext
