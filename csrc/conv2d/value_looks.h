// SPDX-License-Identifier: BSD-3-Clause
// What exact_sums.h looks for in the values of a convolution, and what planned_calls.h knows a
// weight by, as fast as memory delivers them.
#pragma once

#include <cstdint>

#include "common/kernel/checksum.h"
#include "common/simd/prepare.h"
#include "common/simd/simd.h"
#include "conv2d/conv2d.h"

namespace cnnext {

// The common grid of values: all are multiples of one step, a power of two. kNoStep without values.
struct FixedPoint {
  static constexpr int32_t kNoStep = 0x7fffffff;

  int32_t step = kNoStep;  // as the biased exponent of a float whose last digit it is
  Magnitude largest = 0;
};

struct LookedAtImage {
  const float* x;
  Layout layout;
  int64_t channels, pixel, pixels;  // `pixel` is its pixel_distance
  Prologue<float> prologue;
};

struct ValueLooks {
  // The largest magnitude over all channels of the pixels [first, last) of an image;
  // maxima[0] belongs to pixel `first`.
  void (*pixel_maxima)(const LookedAtImage& image, int64_t first, int64_t last, Magnitude* maxima);

  void (*fixed_point)(const float* values, int64_t count, FixedPoint* found);

  uint64_t (*checksum)(const uint32_t* words, int64_t count);
};

const ValueLooks& value_looks();  // of the active ISA

extern const ValueLooks value_looks_baseline;
#if CNNEXT_X86
extern const ValueLooks value_looks_avx2, value_looks_avx512;
#endif

#define CNNEXT_DEFINE_VALUE_LOOKS(isa, lanes) \
  const ValueLooks value_looks_##isa = {pixel_maxima<lanes>, fixed_point<lanes>, checksum_of_words};

namespace {

template <int N>
CNNEXT_INLINE int32_t largest_lane(i32<N> v) {
  if constexpr (N == 1) {
    return v[0];
  } else {
    i32<N / 2> low, high;
    __builtin_memcpy(&low, &v, sizeof(low));
    __builtin_memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof(low), sizeof(high));
    return largest_lane<N / 2>(larger<N / 2>(low, high));
  }
}

template <int N>
CNNEXT_INLINE Magnitude largest_magnitude(const float* x, int64_t count,
                                          const Prologue<float>& prologue) {
  i32<N> largest{};
  for (int64_t i = 0; i < count; i += N) {
    const int64_t some = min(N, count - i);
    f32<N> values = load_partial<N>(x + i, some);
    if (prologue.exists()) values = PreparedLanes<N>::of(prologue.at(0, i), some)(values);
    largest = larger<N>(largest, magnitude<N>(values));
  }
  return largest_lane<N>(largest);
}

template <int N>
void pixel_maxima(const LookedAtImage& image, int64_t first, int64_t last, Magnitude* maxima) {
  const Prologue<float> prologue = image.prologue;
  const bool prepares = prologue.exists();
  if (image.layout == Layout::channels_last) {
    for (int64_t i = first; i < last; ++i) {
      maxima[i - first] = largest_magnitude<N>(image.x + i * image.pixel, image.channels, prologue);
    }
    return;
  }
  constexpr int64_t kBand = 2048;  // pixels, whose maxima stay in L1
  for (int64_t i = first; i < last; i += kBand) {
    float* const band = reinterpret_cast<float*>(maxima + i - first);
    const int64_t count = min(kBand, last - i);
    fill_zero(band, count);
    // Four channels at a time; where fewer are left, the last one again.
    for (int64_t c = 0; c < image.channels; c += 4) {
      const float* x[4];
      PreparedLanes<N> prepared[4] = {};
      for (int j = 0; j < 4; ++j) {
        const int64_t channel = min(c + j, image.channels - 1);
        x[j] = image.x + channel * image.pixels + i;
        if (prepares) prepared[j] = PreparedLanes<N>::of_one(prologue.at(0, channel));
      }
      for (int64_t p = 0; p < count; p += N) {
        const int64_t some = min(N, count - p);
        i32<N> largest = magnitude<N>(load_partial<N>(band + p, some));
        CNNEXT_UNROLL(4)
        for (int j = 0; j < 4; ++j) {
          f32<N> values = load_partial<N>(x[j] + p, some);
          if (prepares) values = prepared[j](values);
          largest = larger<N>(largest, magnitude<N>(values));
        }
        store_partial<N>(band + p, reinterpret_cast<f32<N>>(largest), some);
      }
    }
  }
}

// A float's last digit that is set, as an integer of 24 digits, gives its exponent as a float.
template <int N>
void fixed_point(const float* values, int64_t count, FixedPoint* found) {
  constexpr int32_t kBias = 127, kFraction = 0x7fffff;
  i32<N> step = i32<N>{} + FixedPoint::kNoStep, largest{};
  for (int64_t i = 0; i < count; i += N) {
    const i32<N> size = magnitude<N>(load_partial<N>(values + i, min(N, count - i)));
    const i32<N> digits = (size & kFraction) | (kFraction + 1);
    const f32<N> last = __builtin_convertvector(digits & -digits, f32<N>);
    const i32<N> exponent = (reinterpret_cast<i32<N>>(last) >> 23) - kBias + (size >> 23);
    step = smaller<N>(step, size == 0 ? step : exponent);
    largest = larger<N>(largest, size);
  }
  found->step = -largest_lane<N>(larger<N>(-step, i32<N>{} - found->step));
  found->largest = largest_lane<N>(larger<N>(largest, i32<N>{} + found->largest));
}

uint64_t checksum_of_words(const uint32_t* words, int64_t count) { return checksum(words, count); }

}  // namespace
}  // namespace cnnext
