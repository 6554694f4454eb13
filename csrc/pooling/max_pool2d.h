// SPDX-License-Identifier: BSD-3-Clause
// max_pool2d: the contract between its kernels and its adapters.
//
//   y[n,c,i,j] = max over r < k_h, s < k_w of x[n,c, i*stride_h - pad_h + r*dilation_h,
//                                                   j*stride_w - pad_w + s*dilation_w]
//
// over the positions inside the image. As in ATen the first maximum in row-major order wins a
// tie, the last NaN wins over everything, and a window of nothing but -inf yields its first
// position inside the image. Every window has such a position (the adapter sees to it).
//
// Where the maximum was is recorded as wanted: as the window offset r*k_w + s in one byte, for
// windows of at most 256 elements, or as the position h*w_in + w in the plane, in eight. Both lie
// in memory as y does. The gradient adds dy to that position of dx and leaves zero elsewhere.
#pragma once

#include <cstdint>

#include "common/kernel/kernel.h"
#include "common/kernel/window.h"

namespace cnnext {

enum class Record : int { nothing, offsets, indices };

struct MaxPool2dShape {
  int64_t n, c, h_in, w_in, h_out, w_out;  // h_out and w_out are given: ceil_mode is the adapter's
  int64_t k_h, k_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  Layout layout;
  Record record;

  CNNEXT_INLINE int64_t window() const { return k_h * k_w; }

  CNNEXT_INLINE SlidingWindows rows() const { return {h_in, k_h, stride_h, pad_h, dilation_h}; }
  CNNEXT_INLINE SlidingWindows columns() const { return {w_in, k_w, stride_w, pad_w, dilation_w}; }

  // Comparisons of a forward pass.
  CNNEXT_INLINE double work() const {
    return static_cast<double>(n * c * h_out * w_out) * static_cast<double>(window());
  }
};

//              in    out   offsets, indices
//   forward    x     y     written (the one that is recorded, the other null)
//   bwd_input  dy    dx    read
template <class T>
struct MaxPool2dOperands {
  const T* in;
  T* out;
  uint8_t* offsets;
  int64_t* indices;
};

constexpr int64_t kLargestByteWindow = 256;

CNNEXT_INLINE bool offsets_fit_byte(int64_t k_h, int64_t k_w) {
  return k_h <= kLargestByteWindow && k_w <= kLargestByteWindow / k_h;
}

struct MaxPool2d {
  static constexpr const char* kName = "max_pool2d";
  using Shape = MaxPool2dShape;
  template <class T>
  using Operands = MaxPool2dOperands<T>;
  static double work(const Shape& s) { return s.work(); }
};

// indices[i] = position in the plane of offsets[i], for the planes (nchw) or output rows
// (channels_last) of a whole tensor.
void max_pool2d_expand_offsets(const MaxPool2dShape& shape, const uint8_t* offsets,
                               int64_t* indices);

}  // namespace cnnext
