// SPDX-License-Identifier: BSD-3-Clause
// adaptive_max_pool2d, a thread an element: of the output in the forward pass, of the input in the
// backward pass, where it gathers from the windows that hold it. So every element of a result is
// written once, in an order of additions that the shape decides.
#pragma once

#include "common/cuda/launch.h"
#include "common/cuda/types.h"
#include "pooling/adaptive_max_pool2d.h"
#include "pooling/cuda_walk.h"

namespace cnnext {
namespace {

template <class T, Layout kLayout>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    adaptive_max_pool2d_forward(AdaptiveAxis rows, AdaptiveAxis columns, int64_t w_in,
                                Walk<kLayout> outputs, int64_t size,
                                AdaptiveMaxPool2dOperands<T> o) {
  const int64_t number = global_thread();
  if (number >= size) return;
  const Element y = outputs.split(number);
  const Window row = rows.window(y.h), column = columns.window(y.w);
  int64_t best_position = row.first * w_in + column.first;
  T best = o.in[outputs.other(y, row.first, column.first)];
#pragma unroll 1  // unrolled, the two loops take more registers than they save time
  for (int64_t h = row.first; h < row.last; ++h) {
#pragma unroll 1
    for (int64_t w = column.first; w < column.last; ++w) {
      const T candidate = o.in[outputs.other(y, h, w)];
      const Accumulator<T> value = widen(candidate);
      if (value > widen(best) || value != value) {
        best = candidate;
        best_position = h * w_in + w;
      }
    }
  }
  o.out[number] = best;
  if (o.indices != nullptr) o.indices[number] = best_position;
}

template <class T, Layout kLayout>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    adaptive_max_pool2d_backward(AdaptiveAxis rows, AdaptiveAxis columns, int64_t w_in,
                                 Walk<kLayout> inputs, int64_t size,
                                 AdaptiveMaxPool2dOperands<T> o) {
  const int64_t number = global_thread();
  if (number >= size) return;
  const Element x = inputs.split(number);
  const WindowRange is = rows.covering_windows(x.h), js = columns.covering_windows(x.w);
  Accumulator<T> sum = 0;
#pragma unroll 1
  for (int64_t i = is.first; i < is.last; ++i) {
#pragma unroll 1
    for (int64_t j = js.first; j < js.last; ++j) {
      const int64_t y = inputs.other(x, i, j);
      if (o.indices[y] == x.h * w_in + x.w) sum += widen(o.in[y]);
    }
  }
  o.out[number] = narrow<T>(sum);
}

template <class T>
void run_adaptive_max_pool2d(Pass pass, const AdaptivePoolShape& s,
                             const AdaptiveMaxPool2dOperands<T>& o, cudaStream_t stream) {
  with_walk(pass, s, [&](auto walk, int64_t size) {
    const auto kernel = pass == Pass::forward ? &adaptive_max_pool2d_forward<T, walk.layout>
                                              : &adaptive_max_pool2d_backward<T, walk.layout>;
    launch_elements(kernel, size, stream, s.rows(), s.columns(), s.w_in, walk, size, o);
  });
}

}  // namespace
}  // namespace cnnext
