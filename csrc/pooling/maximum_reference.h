// SPDX-License-Identifier: BSD-3-Clause
// The gradient of max-pools as plain loops: each dy is added to the position that was recorded.
#pragma once

#include "pooling/plane.h"

namespace cnnext {
namespace {

// Of one plane. `position_of(i, j, at)` is the position that output (i, j), which lies at `at`,
// recorded; one that no forward pass records may point anywhere, and is left out.
template <class Shape, class Operands, class PositionOf>
void scatter_plane(const Shape& s, int64_t plane, const Operands& o,
                   const PositionOf& position_of) {
  const PlaneIndex x{s.c, s.h_in, s.w_in, s.layout}, y{s.c, s.h_out, s.w_out, s.layout};
  for (int64_t h = 0; h < s.h_in; ++h) {
    for (int64_t w = 0; w < s.w_in; ++w) o.out[x(plane, h, w)] = 0;
  }
  for (int64_t i = 0; i < s.h_out; ++i) {
    for (int64_t j = 0; j < s.w_out; ++j) {
      const int64_t at = y(plane, i, j), position = position_of(i, j, at);
      if (position < 0 || position >= s.h_in * s.w_in) continue;
      o.out[x(plane, position / s.w_in, position % s.w_in)] += o.in[at];
    }
  }
}

}  // namespace
}  // namespace cnnext
