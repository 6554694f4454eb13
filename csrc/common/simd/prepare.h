// SPDX-License-Identifier: BSD-3-Clause
// The prologue (common/kernel/prologue.h) of an input that was copied: in place, while it is near.
#pragma once

#include "common/kernel/prologue.h"
#include "common/simd/simd.h"

namespace cnnext {
namespace {

// That of some channels, in registers.
template <int N>
struct PreparedLanes {
  f32<N> scale, shift, low;

  static CNNEXT_INLINE PreparedLanes of(const Prologue<float>& p, int64_t channels) {
    return {load_partial<N>(p.scale, channels),
            p.shift == nullptr ? f32<N>{} : load_partial<N>(p.shift, channels), lowest(p)};
  }
  // All lanes of the first channel.
  static CNNEXT_INLINE PreparedLanes of_one(const Prologue<float>& p) {
    return {broadcast<N>(*p.scale), broadcast<N>(p.shift == nullptr ? 0 : *p.shift), lowest(p)};
  }

  CNNEXT_INLINE f32<N> operator()(f32<N> x) const { return at_least<N>(x * scale + shift, low); }

 private:
  static CNNEXT_INLINE f32<N> lowest(const Prologue<float>& p) {
    return broadcast<N>(p.relu ? 0 : -__builtin_inff());
  }
};

// Pixels `distance` floats apart, of which vectors of channels lie `vector` floats apart; p is that
// of the first channel.
template <int N>
void prepare(const Prologue<float>& p, int64_t pixels, int64_t channels, float* x, int64_t distance,
             int64_t vector = N) {
  if (!p.exists()) return;
  for (int64_t c = 0; c < channels; c += N, x += vector) {
    const int64_t lanes = min(N, channels - c);
    const auto prepared = PreparedLanes<N>::of(p.at(0, c), lanes);
    for (int64_t i = 0; i < pixels; ++i) {
      float* const at = x + i * distance;
      store_partial<N>(at, prepared(load_partial<N>(at, lanes)), lanes);
    }
  }
}

}  // namespace
}  // namespace cnnext
