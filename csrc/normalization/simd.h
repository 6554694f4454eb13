// SPDX-License-Identifier: BSD-3-Clause
// What kernels of batch normalisation share. Each reads x twice. The first time is for sums, which
// are taken over blocks that stay in L1 or L2: of a block its mean first, then its squares about
// that mean. Blocks are put together in double (Chan, Golub, LeVeque, "Updating formulae and a
// pairwise algorithm for computing sample variances", 1979), so that the variance is exact to
// float's precision wherever the mean is, without a third pass through memory.
#pragma once

#include "common/simd/simd.h"
#include "normalization/batch_norm.h"

namespace cnnext {
namespace {

// So many numbers: their sum, and that of their squared distances from the mean.
struct Moments {
  double count, sum, squares;
};

// How the moments of a block of b numbers join those of a before it, for numbers and vectors of
// channels V. The block's are sums of distances from a number that is nearly its mean, and of their
// squares.
struct Joining {
  Joining(int64_t a, int64_t b)
      : count(static_cast<double>(b)),
        inverse(1 / count),
        inverse_before(a == 0 ? 0 : 1 / static_cast<double>(a)),
        weight(a == 0 ? 0 : static_cast<double>(a) * count / static_cast<double>(a + b)) {}

  template <class V>
  CNNEXT_INLINE void operator()(V about, V distances, V squares, V& sum, V& all_squares) const {
    // From an infinite mean all distances are NaN, and the sum is what it is.
    const V sum_of_block = about * count + (distances == distances ? distances : V{});
    const V apart = sum_of_block * inverse - sum * inverse_before;
    all_squares += squares - distances * distances * inverse + apart * apart * weight;
    sum += sum_of_block;
  }

  double count, inverse, inverse_before, weight;
};

// Stores what a forward pass in training leaves of a channel.
inline void store_statistics(const BatchNormShape& s, const BatchNormOperands<float>& o, int64_t c,
                             const Moments& moments) {
  const double mean = moments.sum / moments.count;
  // Rounding may leave less than nothing where all numbers are the same.
  const double squares = moments.squares < 0 ? 0 : moments.squares;
  o.batch_mean[c] = static_cast<float>(mean);
  o.batch_var[c] = static_cast<float>(squares / moments.count);
  const auto follow = [&](float* running, double value) {
    if (running != nullptr) {
      running[c] = static_cast<float>((1 - s.momentum) * running[c] + s.momentum * value);
    }
  };
  follow(o.running_mean, mean);
  follow(o.running_var, squares / (moments.count - 1));
}

// y = (x - mean) scale + shift of a channel, before anything else. From a mean far from zero this
// loses less than x scale + (shift - mean scale).
struct Affine {
  Affine(const BatchNormShape& s, const BatchNormOperands<float>& o, int64_t c, float mean_of_c,
         float var)
      : mean(mean_of_c),
        inverse(1 / __builtin_sqrt(var + s.eps)),
        scale(static_cast<float>((o.gamma == nullptr ? 1 : o.gamma[c]) * inverse)),
        shift(o.beta == nullptr ? 0 : o.beta[c]) {}

  float mean;
  double inverse;  // of the deviation
  float scale, shift;
};

// The gradients of a channel's affine function, and what they have to do with dx:
//
//   dx = scale (g - offset - (x - mean) slope)
struct Gradients {
  // From the sums of g and of g (x - mean).
  Gradients(const BatchNormShape& s, const Affine& affine, double sum, double product)
      : dgamma(static_cast<float>(product * affine.inverse)), dbeta(static_cast<float>(sum)) {
    if (!s.training) return;
    const double m = static_cast<double>(s.m());
    offset = static_cast<float>(sum / m);
    slope = static_cast<float>(product * affine.inverse * affine.inverse / m);
  }

  float dgamma, dbeta;
  float offset = 0, slope = 0;
};

// What an activation does to vectors, and which gradients it passes on: NaN passes both ways.
template <int N, Activation kActivation>
struct Activated {
  explicit Activated(const BatchNormShape& s)
      : low(broadcast<N>(kActivation == Activation::clamp ? static_cast<float>(s.low) : 0)),
        high(broadcast<N>(static_cast<float>(s.high))) {}

  CNNEXT_INLINE f32<N> of(f32<N> a) const {
    if constexpr (kActivation != Activation::none) a = at_least<N>(a, low);
    if constexpr (kActivation == Activation::clamp) a = at_most<N>(a, high);
    return a;
  }

  // `a` is what went in or what came out.
  CNNEXT_INLINE f32<N> passed(f32<N> dy, f32<N> a) const {
    if constexpr (kActivation != Activation::none) dy = a <= low ? f32<N>{} : dy;
    if constexpr (kActivation == Activation::clamp) dy = a >= high ? f32<N>{} : dy;
    return dy;
  }

  f32<N> low, high;
};

template <Activation kActivation_>
struct ActivationTag {
  static constexpr Activation kActivation = kActivation_;
};
template <bool kValue_>
struct Flag {
  static constexpr bool kValue = kValue_;
};

// Calls f with the activation as a tag.
template <class F>
CNNEXT_INLINE void with_activation(const BatchNormShape& s, const F& f) {
  switch (s.activation) {
    case Activation::relu:
      return f(ActivationTag<Activation::relu>());
    case Activation::clamp:
      return f(ActivationTag<Activation::clamp>());
    default:
      return f(ActivationTag<Activation::none>());
  }
}

// Calls f with a truth as a tag.
template <class F>
CNNEXT_INLINE void with_flag(bool value, const F& f) {
  if (value) return f(Flag<true>());
  f(Flag<false>());
}

// Zero but for the first `count` lanes.
template <int N>
CNNEXT_INLINE f32<N> first_lanes(f32<N> v, int64_t count) {
  i32<N> lane;
  for (int i = 0; i < N; ++i) lane[i] = i;
  return lane < static_cast<int32_t>(count) ? v : f32<N>{};
}

// Loads and stores of whole vectors, and of the first lanes of one, by the same text.
template <int N>
CNNEXT_INLINE f32<N> load_lanes(const float* p, Width<N>) {
  return load<N>(p);
}
template <int N>
CNNEXT_INLINE f32<N> load_lanes(const float* p, int64_t count) {
  return load_partial<N>(p, count);
}
template <int N>
CNNEXT_INLINE void store_lanes(float* p, f32<N> v, Width<N>) {
  store<N>(p, v);
}
template <int N>
CNNEXT_INLINE void store_lanes(float* p, f32<N> v, int64_t count) {
  store_partial<N>(p, v, count);
}
template <int N>
CNNEXT_INLINE f32<N> keep_lanes(f32<N> v, Width<N>) {
  return v;
}
template <int N>
CNNEXT_INLINE f32<N> keep_lanes(f32<N> v, int64_t count) {
  return first_lanes<N>(v, count);
}

template <int N>
CNNEXT_INLINE int64_t lane_count(Width<N>) {
  return N;
}
template <int N>
CNNEXT_INLINE int64_t lane_count(int64_t count) {
  return count;
}

// So many sums are kept apart, as one addition would wait for the one before.
constexpr int kWays = 4;

// Calls body(way, at, lanes) for the vectors of [0, floats): the ways take turns.
template <int N, class F>
CNNEXT_INLINE void for_each_vector(int64_t floats, const F& body) {
  int64_t at = 0;
  for (; at + kWays * N <= floats; at += kWays * N) {
    CNNEXT_UNROLL(4)
    for (int way = 0; way < kWays; ++way) body(way, at + way * N, Width<N>());
  }
  for (; at < floats; at += N) body(0, at, min(N, floats - at));
}

template <int N>
CNNEXT_INLINE float total(const f32<N> (&ways)[kWays]) {
  return sum_of_lanes<N>((ways[0] + ways[1]) + (ways[2] + ways[3]));
}

}  // namespace
}  // namespace cnnext
