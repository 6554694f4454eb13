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

template <Layout kLayout, class Shape, class T>
void run_average_in(Pass pass, const Shape& s, const AverageOperands<T>& o, cudaStream_t stream) {
  const auto rows = s.rows(), columns = s.columns();
  const int64_t d = s.divisor_override;
  if (pass == Pass::forward) {
    const int64_t size = s.n * s.c * s.h_out * s.w_out;
    const Walk<kLayout> outputs(s.c, s.h_out, s.w_out, s.h_in, s.w_in);
    launch_elements(&average<T, kLayout, decltype(s.rows())>, size, stream, rows, columns, d,
                    outputs, size, o);
  } else {
    const int64_t size = s.n * s.c * s.h_in * s.w_in;
    const Walk<kLayout> inputs(s.c, s.h_in, s.w_in, s.h_out, s.w_out);
    launch_elements(&average_backward<T, kLayout, decltype(s.rows())>, size, stream, rows, columns,
                    d, inputs, size, o);
  }
}

template <class Shape, class T>
void run_average(Pass pass, const Shape& s, const AverageOperands<T>& o, cudaStream_t stream) {
  if (s.layout == Layout::nchw) {
    run_average_in<Layout::nchw>(pass, s, o, stream);
  } else {
    run_average_in<Layout::channels_last>(pass, s, o, stream);
  }
}

}  // namespace
}  // namespace cnnext
