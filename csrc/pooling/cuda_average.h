// SPDX-License-Identifier: BSD-3-Clause
// Average pools on CUDA, a thread an element: of the output in the forward pass, of the input in
// the backward pass, where it gathers from the windows that hold it. So every element of a result
// is written once, in an order of additions that the shape decides.
//
// Memory is what limits these kernels while windows are small. A window that spans the image is
// added up by one thread alone, which is slow where there are few of them.
#pragma once

#include "common/cuda/launch.h"
#include "common/cuda/types.h"
#include "pooling/average.h"
#include "pooling/axis.h"
#include "pooling/cuda_walk.h"

namespace cnnext {
namespace {

template <class T, Layout kLayout, class Axis>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    average(Axis rows, Axis columns, int64_t divisor_override, Walk<kLayout> outputs, int64_t size,
            AverageOperands<T> o) {
  const int64_t number = global_thread();
  if (number >= size) return;
  const Element y = outputs.split(number);
  const Window row = rows.window(y.h), column = columns.window(y.w);
  Accumulator<T> sum = 0;
#pragma unroll 1  // unrolled, the two loops take more registers than they save time
  for (int64_t h = row.first; h < row.last; ++h) {
    Accumulator<T> row_sum = 0;  // flushed, so that sums of many elements lose less
#pragma unroll 1
    for (int64_t w = column.first; w < column.last; ++w) {
      row_sum += widen(o.in[outputs.other(y, h, w)]);
    }
    sum += row_sum;
  }
  o.out[number] = narrow<T>(sum / divisor_of<Accumulator<T>>(divisor_override, row, column));
}

template <class T, Layout kLayout, class Axis>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    average_backward(Axis rows, Axis columns, int64_t divisor_override, Walk<kLayout> inputs,
                     int64_t size, AverageOperands<T> o) {
  const int64_t number = global_thread();
  if (number >= size) return;
  const Element x = inputs.split(number);
  const WindowRange is = rows.covering_windows(x.h), js = columns.covering_windows(x.w);
  Accumulator<T> sum = 0;
#pragma unroll 1
  for (int64_t i = is.first; i < is.last; ++i) {
    const Window row = rows.window(i);
#pragma unroll 1
    for (int64_t j = js.first; j < js.last; ++j) {
      sum += widen(o.in[inputs.other(x, i, j)]) /
             divisor_of<Accumulator<T>>(divisor_override, row, columns.window(j));
    }
  }
  o.out[number] = narrow<T>(sum);
}

template <class Shape, class T>
void run_average(Pass pass, const Shape& s, const AverageOperands<T>& o, cudaStream_t stream) {
  using Axis = decltype(s.rows());
  with_walk(pass, s, [&](auto walk, int64_t size) {
    const auto kernel = pass == Pass::forward ? &average<T, walk.layout, Axis>
                                              : &average_backward<T, walk.layout, Axis>;
    launch_elements(kernel, size, stream, s.rows(), s.columns(), s.divisor_override, walk, size, o);
  });
}

}  // namespace
}  // namespace cnnext
