// SPDX-License-Identifier: BSD-3-Clause
// How a pool's CUDA kernels find their way: from the number of a thread to an element of one batch
// of images, and on to elements of the other.
#pragma once

#include "common/kernel/divisor.h"
#include "common/kernel/kernel.h"

namespace cnnext {
namespace {

// An element of a batch of images, and where the image's channel begins.
struct Element {
  int64_t h, w, base;
};

// Takes the numbers of one batch of images apart, and finds elements of another batch, which has
// as many images and channels.
template <Layout kLayout>
struct Walk {
  static constexpr Layout layout = kLayout;

  Radix numbered;   // nchw: planes, rows, columns; channels_last: all rows, columns, channels
  Divisor heights;  // of the numbered images
  int64_t channels, other_h, other_w;

  Walk(int64_t channels_, int64_t h, int64_t w, int64_t other_h_, int64_t other_w_)
      : numbered(kLayout == Layout::nchw ? Radix(h, w) : Radix(w, channels_)),
        heights(h),
        channels(channels_),
        other_h(other_h_),
        other_w(other_w_) {}

  CNNEXT_INLINE Element split(int64_t number) const {
    const Digits d = numbered.split(number);
    if constexpr (kLayout == Layout::nchw) return {d.middle, d.fast, d.slow * other_h * other_w};
    const int64_t image = heights.quotient(d.slow);
    return {d.slow - image * heights.divisor(), d.middle,
            image * other_h * other_w * channels + d.fast};
  }

  CNNEXT_INLINE int64_t other(const Element& e, int64_t h, int64_t w) const {
    const int64_t position = h * other_w + w;
    return e.base + (kLayout == Layout::nchw ? position : position * channels);
  }
};

template <Layout kLayout, class Shape>
Walk<kLayout> walk_of(Pass pass, const Shape& s) {
  if (pass == Pass::forward) return {s.c, s.h_out, s.w_out, s.h_in, s.w_in};
  return {s.c, s.h_in, s.w_in, s.h_out, s.w_out};
}

// Calls run(walk, size) with the walk of that pass in the layout of the shape: over all `size`
// elements of its result, the outputs of a forward pass and the inputs of a backward pass.
template <class Shape, class Run>
void with_walk(Pass pass, const Shape& s, const Run& run) {
  const int64_t size = s.n * s.c * (pass == Pass::forward ? s.h_out * s.w_out : s.h_in * s.w_in);
  if (s.layout == Layout::nchw) {
    run(walk_of<Layout::nchw>(pass, s), size);
  } else {
    run(walk_of<Layout::channels_last>(pass, s), size);
  }
}

}  // namespace
}  // namespace cnnext
