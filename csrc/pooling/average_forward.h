// SPDX-License-Identifier: BSD-3-Clause
// Average pools on vectors.
//
// channels_last: lanes are channels, a window's sum stays in registers. Tasks are blocks of
// channels of an output row, so that a global average of one image is work for several threads as
// well.
//
// nchw: a window's sum is separable. For each output row, which is a task, the rows of the image
// that belong to it are added up into one row of sums, on vectors whatever the windows are along
// it; then each output adds up the few sums of its columns: on vectors where neighbouring windows
// are alike, one at a time elsewhere. A window that spans all columns is one array, added up as
// such.
//
// Partial sums are flushed after kFlush additions, so that sums of many elements lose less: each is
// rounded at most kFlush times, and after that once for each flush. Memory is the limit.
#pragma once

#include "common/simd/simd.h"
#include "common/simd/strided.h"
#include "pooling/average.h"
#include "pooling/axis.h"
#include "pooling/channels.h"

namespace cnnext {
namespace {

constexpr int64_t kFlush = 64;

// Adds up an array.
template <int N>
float sum_of(const float* p, int64_t count) {
  constexpr int kVectors = 4;
  f32<N> total{};
  int64_t i = 0;
  while (count - i >= kVectors * N) {
    f32<N> partial[kVectors] = {};
    const int64_t last = min(count, i + kFlush * kVectors * N);
    for (; i + kVectors * N <= last; i += kVectors * N) {
      for (int v = 0; v < kVectors; ++v) partial[v] += load<N>(p + i + v * N);
    }
    total += (partial[0] + partial[1]) + (partial[2] + partial[3]);
  }
  for (; i + N <= count; i += N) total += load<N>(p + i);
  float sum = sum_of_lanes<N>(total);
  for (; i < count; ++i) sum += p[i];
  return sum;
}

template <class Shape, int Lanes>
struct AverageForward {
  static Plan plan(const Shape& s, int) {
    Plan plan;
    plan.tasks[0] = s.n * s.h_out * (s.layout == Layout::nchw ? s.c : channel_blocks(s.c));
    plan.chunk_bytes = Columns::bytes(s);
    return plan;
  }

  static void run(const Shape& s, const Plan&, const AverageOperands<float>& o,
                  const Slice& slice) {
    const auto rows = s.rows();
    const Columns columns(s, slice.chunk);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (s.layout == Layout::nchw) {
        average_row(s, rows.window(task % s.h_out), columns,
                    o.in + task / s.h_out * s.h_in * s.w_in, o.out + task * s.w_out);
      } else {
        const ChannelBlock block(task, s.c);
        average_channels(s, rows.window(block.row % s.h_out), columns, block, o);
      }
    }
  }

 private:
  // The window of each output column, and room for one row of sums. Outputs [first, last) have
  // small windows of the same width, each `step` positions behind the one before it.
  struct Columns {
    Window* windows;
    float* sums;
    int64_t first, last, width, step = 1;

    Columns(const Shape& s, unsigned char* scratch)
        : windows(reinterpret_cast<Window*>(scratch)),
          sums(reinterpret_cast<float*>(windows + s.w_out)),
          first(s.w_out / 2),
          last(first) {
      const auto axis = s.columns();
      for (int64_t j = 0; j < s.w_out; ++j) windows[j] = axis.window(j);
      width = windows[first].last - windows[first].first;
      if (first + 1 < s.w_out) step = windows[first + 1].first - windows[first].first;
      if (width > kFlush || step < 1) return;
      while (first > 0 && alike(windows[first - 1], windows[first])) --first;
      ++last;
      while (last < s.w_out && alike(windows[last - 1], windows[last])) ++last;
    }

    bool alike(const Window& one, const Window& next) const {
      return next.first - one.first == step && next.last - one.last == step &&
             next.extent == one.extent;
    }

    static int64_t bytes(const Shape& s) {
      return s.w_out * static_cast<int64_t>(sizeof(Window)) +
             s.w_in * static_cast<int64_t>(sizeof(float));
    }
  };

  // The output row y of the plane x.
  static void average_row(const Shape& s, const Window& row, const Columns& columns, const float* x,
                          float* y) {
    const Window column = columns.windows[0];
    const float* first = x + row.first * s.w_in;
    if (s.w_out == 1 && column.first == 0 && column.last == s.w_in) {
      y[0] = sum_of<Lanes>(first, (row.last - row.first) * s.w_in) /
             divisor_of<float>(s.divisor_override, row, column);
      return;
    }
    add_rows(first, row.last - row.first, s.w_in, columns.sums);
    outputs_one_by_one(s, row, columns, 0, columns.first, y);
    cover<Lanes>(columns.first, columns.first, columns.last, [&](auto lanes, int64_t j) {
      outputs<decltype(lanes)::kLanes>(s, row, columns, j, y);
    });
    outputs_one_by_one(s, row, columns, columns.last, s.w_out, y);
  }

  static void outputs_one_by_one(const Shape& s, const Window& row, const Columns& columns,
                                 int64_t first, int64_t last, float* y) {
    for (int64_t j = first; j < last; ++j) {
      const Window window = columns.windows[j];
      y[j] = sum_of<Lanes>(columns.sums + window.first, window.last - window.first) /
             divisor_of<float>(s.divisor_override, row, window);
    }
  }

  // Outputs j .. j+N-1, whose windows are alike.
  template <int N>
  static void outputs(const Shape& s, const Window& row, const Columns& columns, int64_t j,
                      float* y) {
    const Window window = columns.windows[j];
    f32<N> sum{};
    for (int64_t t = 0; t < columns.width; ++t) {
      sum += load_strided<N>(columns.sums + window.first + t, columns.step);
    }
    store<N>(y + j, sum / broadcast<N>(divisor_of<float>(s.divisor_override, row, window)));
  }

  // sums[w] = the sum of rows[r * width + w] over r < count.
  static void add_rows(const float* rows, int64_t count, int64_t width, float* sums) {
    for (int64_t w = 0; w < width; w += Lanes) {
      const int64_t lanes = min(Lanes, width - w);
      f32<Lanes> sum{};
      for (int64_t r = 0; r < count;) {
        f32<Lanes> partial{};
        for (const int64_t last = min(count, r + kFlush); r < last; ++r) {
          partial += load_partial<Lanes>(rows + r * width + w, lanes);
        }
        sum += partial;
      }
      store_partial<Lanes>(sums + w, sum, lanes);
    }
  }

  static void average_channels(const Shape& s, const Window& row, const Columns& columns,
                               const ChannelBlock& block, const AverageOperands<float>& o) {
    const float* image = o.in + block.row / s.h_out * s.h_in * s.w_in * s.c;
    float* y = o.out + block.row * s.w_out * s.c;
    for (int64_t j = 0; j < s.w_out; ++j, y += s.c) {
      const Window column = columns.windows[j];
      const float d = divisor_of<float>(s.divisor_override, row, column);
      int64_t c = block.first;
      for (; c + 4 * Lanes <= block.last; c += 4 * Lanes) {
        average_window<Lanes, 4>(s, image + c, row, column, d, y + c);
      }
      cover<Lanes>(block.first, c, block.last, [&](auto width, int64_t at) {
        average_window<decltype(width)::kLanes, 1>(s, image + at, row, column, d, y + at);
      });
    }
  }

  // N * Vectors channels of one window.
  template <int N, int Vectors>
  static void average_window(const Shape& s, const float* image, const Window& row,
                             const Window& column, float d, float* y) {
    f32<N> sum[Vectors] = {};
    for (int64_t h = row.first; h < row.last; ++h) {
      const float* p = image + (h * s.w_in + column.first) * s.c;
      for (int64_t w = column.first; w < column.last;) {
        f32<N> partial[Vectors] = {};
        for (const int64_t last = min(column.last, w + kFlush); w < last; ++w, p += s.c) {
          for (int v = 0; v < Vectors; ++v) partial[v] += load<N>(p + v * N);
        }
        for (int v = 0; v < Vectors; ++v) sum[v] += partial[v];
      }
    }
    for (int v = 0; v < Vectors; ++v) store<N>(y + v * N, sum[v] / broadcast<N>(d));
  }
};

}  // namespace
}  // namespace cnnext
