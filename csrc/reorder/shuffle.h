// SPDX-License-Identifier: BSD-3-Clause
// shuffle: the channels of each pixel, as a matrix of `rows` rows, transposed. The contract between
// its kernels and those who call them.
//
//   a channel shuffle of `rows` groups, upscale 1:
//     y[n, h, w, j * rows + i] = x[n, h, w, i * columns + j]
//   a pixel shuffle, by u = upscale with u * u columns:
//     y[n, h * u + j / u, w * u + j % u, i] = x[n, h, w, i * columns + j]
//
// in channels_last; h and w are of x. The pixels of x lie x_pixel, those of y y_pixel elements
// apart, at least as many as they have channels. Nothing between the channels is written.
#pragma once

#include "common/kernel/kernel.h"

namespace cnnext {

struct ShuffleShape {
  int64_t n, h, w;
  int64_t rows, columns;
  int64_t upscale;
  int64_t x_pixel, y_pixel;

  CNNEXT_INLINE int64_t c_in() const { return rows * columns; }
  CNNEXT_INLINE int64_t c_out() const { return upscale > 1 ? rows : c_in(); }
};

template <class T>
struct ShuffleOperands {
  const T* x;
  T* y;
};

struct Shuffle {
  static constexpr const char* kName = "shuffle";
  using Shape = ShuffleShape;
  template <class T>
  using Operands = ShuffleOperands<T>;
  static double work(const Shape& s) { return static_cast<double>(s.n * s.h * s.w * s.c_in()); }
};

}  // namespace cnnext
