// SPDX-License-Identifier: BSD-3-Clause
// The few constants behind the predicted times. Only their ratios decide anything; they are rounded
// from measurements of the micro-kernel (gemm/tile.h) on one core.
#pragma once

#include "common/kernel/isa.h"

namespace cnnext {

constexpr double kReferenceMacsPerSecond = 0.5e9;  // scalar, summed in double

constexpr double kMovedFloatsPerSecond = 4e9;  // what vector code without reuse reads

constexpr int simd_lanes(Isa isa) { return isa == Isa::avx512 ? 16 : isa == Isa::avx2 ? 8 : 4; }

// Multiply-adds per second and core of the register-tiled product.
constexpr double tile_macs_per_second(Isa isa) {
  return isa == Isa::avx512 ? 85e9 : isa == Isa::avx2 ? 42e9 : 10e9;
}

}  // namespace cnnext
