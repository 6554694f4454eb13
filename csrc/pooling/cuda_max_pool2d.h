// SPDX-License-Identifier: BSD-3-Clause
// max_pool2d, a thread an element: of the output in the forward pass, of the input in the backward
// pass, where it gathers from the windows that hold it. So every element of a result is written
// once, in an order of additions that the shape decides.
//
// Elements are numbered as they lie in memory, in either layout: neighbouring threads read and
// write neighbours. Memory is what limits these kernels; windows that overlap meet in the caches.
#pragma once

#include "common/cuda/launch.h"
#include "common/cuda/types.h"
#include "pooling/cuda_walk.h"
#include "pooling/max_pool2d.h"

namespace cnnext {
namespace {

template <class T, Layout kLayout>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    max_pool2d_forward(MaxPool2dShape s, Walk<kLayout> outputs, int64_t size,
                       MaxPool2dOperands<T> o) {
  const int64_t number = global_thread();
  if (number >= size) return;
  const Element y = outputs.split(number);
  const int64_t h0 = y.h * s.stride_h - s.pad_h, w0 = y.w * s.stride_w - s.pad_w;
  const TapRange rows = taps_inside(h0, s.k_h, s.dilation_h, s.h_in);
  const TapRange columns = taps_inside(w0, s.k_w, s.dilation_w, s.w_in);
  int64_t best_r = rows.first, best_s = columns.first;
  T best = o.in[outputs.other(y, h0 + best_r * s.dilation_h, w0 + best_s * s.dilation_w)];
  for (int64_t r = rows.first; r < rows.last; ++r) {
    for (int64_t t = columns.first; t < columns.last; ++t) {
      const T candidate = o.in[outputs.other(y, h0 + r * s.dilation_h, w0 + t * s.dilation_w)];
      const Accumulator<T> value = widen(candidate);
      if (value > widen(best) || value != value) {
        best = candidate;
        best_r = r;
        best_s = t;
      }
    }
  }
  o.out[number] = best;
  if (s.record == Record::offsets) {
    o.offsets[number] = static_cast<uint8_t>(best_r * s.k_w + best_s);
  } else if (s.record == Record::indices) {
    o.indices[number] = (h0 + best_r * s.dilation_h) * s.w_in + w0 + best_s * s.dilation_w;
  }
}

// The windows along one axis that may hold position `at`: [first, last), and which tap of a window
// `at` is, or -1 for one that dilation makes step over it.
struct DilatedAxis {
  int64_t taps, pad, dilation, count;
  Divisor strides, dilations;

  DilatedAxis(int64_t taps_, int64_t stride, int64_t pad_, int64_t dilation_, int64_t count_)
      : taps(taps_),
        pad(pad_),
        dilation(dilation_),
        count(count_),
        strides(stride),
        dilations(dilation_) {}

  CNNEXT_INLINE int64_t first(int64_t at) const {
    const int64_t before = at + pad - (taps - 1) * dilation;
    return before <= 0 ? 0 : strides.quotient(before + strides.divisor() - 1);
  }

  CNNEXT_INLINE int64_t last(int64_t at) const {
    return min(count, strides.quotient(at + pad) + 1);
  }

  CNNEXT_INLINE int64_t tap(int64_t at, int64_t window) const {
    const int64_t distance = at + pad - window * strides.divisor();
    const int64_t tap = dilations.quotient(distance);
    return tap * dilation == distance ? tap : -1;
  }
};

template <class T, Layout kLayout>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    max_pool2d_backward(MaxPool2dShape s, Walk<kLayout> inputs, DilatedAxis rows,
                        DilatedAxis columns, int64_t size, MaxPool2dOperands<T> o) {
  const int64_t number = global_thread();
  if (number >= size) return;
  const Element x = inputs.split(number);
  const int64_t last_row = rows.last(x.h), last_column = columns.last(x.w);
  Accumulator<T> sum = 0;
#pragma unroll 1  // unrolled, the two loops take more registers than they save time
  for (int64_t i = rows.first(x.h); i < last_row; ++i) {
    const int64_t r = rows.tap(x.h, i);
    if (r < 0) continue;
#pragma unroll 1
    for (int64_t j = columns.first(x.w); j < last_column; ++j) {
      const int64_t t = columns.tap(x.w, j);
      if (t < 0) continue;
      const int64_t y = inputs.other(x, i, j);
      const bool is_maximum = s.record == Record::offsets ? o.offsets[y] == r * s.k_w + t
                                                          : o.indices[y] == x.h * s.w_in + x.w;
      if (is_maximum) sum += widen(o.in[y]);
    }
  }
  o.out[number] = narrow<T>(sum);
}

template <Layout kLayout>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    expand_offsets(MaxPool2dShape s, Walk<kLayout> outputs, Divisor window_width, int64_t size,
                   const uint8_t* offsets, int64_t* indices) {
  const int64_t number = global_thread();
  if (number >= size) return;
  const Element y = outputs.split(number);
  const int64_t r = window_width.quotient(offsets[number]), t = offsets[number] - r * s.k_w;
  const int64_t h = y.h * s.stride_h - s.pad_h + r * s.dilation_h;
  const int64_t w = y.w * s.stride_w - s.pad_w + t * s.dilation_w;
  indices[number] = h * s.w_in + w;
}

template <class T>
void run_max_pool2d(Pass pass, const MaxPool2dShape& s, const MaxPool2dOperands<T>& o,
                    cudaStream_t stream) {
  with_walk(pass, s, [&](auto walk, int64_t size) {
    if (pass == Pass::forward) {
      launch_elements(&max_pool2d_forward<T, walk.layout>, size, stream, s, walk, size, o);
    } else {
      const DilatedAxis rows(s.k_h, s.stride_h, s.pad_h, s.dilation_h, s.h_out);
      const DilatedAxis columns(s.k_w, s.stride_w, s.pad_w, s.dilation_w, s.w_out);
      launch_elements(&max_pool2d_backward<T, walk.layout>, size, stream, s, walk, rows, columns,
                      size, o);
    }
  });
}

}  // namespace
}  // namespace cnnext
