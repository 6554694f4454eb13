// SPDX-License-Identifier: BSD-3-Clause
// The gradient of average pools on vectors, in gather form: every element of dx is written once,
// as the sum over the windows that hold it.
//
// channels_last: lanes are channels; tasks are blocks of channels of a row of dx.
//
// nchw: the sum is separable. For each row of dx, which is a task, the rows of dy that belong to
// it, divided, are added up into one row of sums, on vectors; then each element adds up the few
// sums of its windows, gathered by vectors too. A row that the same windows hold as the row above
// is a copy of that.
#pragma once

#include "common/simd/simd.h"
#include "pooling/average.h"
#include "pooling/axis.h"
#include "pooling/channels.h"

namespace cnnext {
namespace {

template <class Shape, int Lanes>
struct AverageBackwardInput {
  static Plan plan(const Shape& s, int) {
    Plan plan;
    plan.tasks[0] = s.n * s.h_in * (s.layout == Layout::nchw ? s.c : channel_blocks(s.c));
    plan.chunk_bytes = Tables::bytes(s);
    return plan;
  }

  static void run(const Shape& s, const Plan&, const AverageOperands<float>& o,
                  const Slice& slice) {
    const auto rows = s.rows();
    const Tables tables(s, slice.chunk);
    WindowRange above{};
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (s.layout == Layout::nchw) {
        const int64_t plane = task / s.h_in, h = task - plane * s.h_in;
        const WindowRange covering = rows.covering_windows(h);
        float* const dx = o.out + task * s.w_in;
        if (h > 0 && task > slice.begin && covering == above) {
          copy(dx, dx - s.w_in, s.w_in);
        } else {
          add_row(s, covering, tables, o.in + plane * s.h_out * s.w_out, dx);
        }
        above = covering;
      } else {
        const ChannelBlock block(task, s.c);
        add_channels(s, rows.covering_windows(block.row % s.h_in), tables, block, o);
      }
    }
  }

 private:
  // Most windows that a column is gathered from; from more, one at a time.
  static constexpr int64_t kMaxGathered = 8;

  // The windows that hold each column of dx; the factor of the divisor that each row and column of
  // dy has; and room for one row of sums. If few windows hold a column, `gathered` has `depth`
  // rows of its windows one by one, negative where there are no more, and padded to whole vectors.
  struct Tables {
    WindowRange* columns;
    float *row_extents, *column_extents, *sums;
    int32_t* gathered;
    int64_t width, depth = 0;

    Tables(const Shape& s, unsigned char* scratch)
        : columns(reinterpret_cast<WindowRange*>(scratch)),
          row_extents(reinterpret_cast<float*>(columns + s.w_in)),
          column_extents(row_extents + s.h_out),
          sums(column_extents + s.w_out),
          gathered(reinterpret_cast<int32_t*>(sums + s.w_out)),
          width(round_up(s.w_in, Lanes)) {
      const auto row_axis = s.rows();
      const auto column_axis = s.columns();
      const bool overridden = s.divisor_override != 0;
      for (int64_t w = 0; w < s.w_in; ++w) {
        columns[w] = column_axis.covering_windows(w);
        depth = max(depth, columns[w].last - columns[w].first);
      }
      for (int64_t i = 0; i < s.h_out; ++i) {
        row_extents[i] =
            static_cast<float>(overridden ? s.divisor_override : row_axis.window(i).extent);
      }
      for (int64_t j = 0; j < s.w_out; ++j) {
        column_extents[j] = static_cast<float>(overridden ? 1 : column_axis.window(j).extent);
      }
      if (depth > kMaxGathered || s.layout != Layout::nchw) return;
      for (int64_t u = 0; u < depth; ++u) {
        for (int64_t w = 0; w < width; ++w) {
          const int64_t j = w < s.w_in ? columns[w].first + u : 0;
          gathered[u * width + w] =
              w < s.w_in && j < columns[w].last ? static_cast<int32_t>(j) : -1;
        }
      }
    }

    static int64_t bytes(const Shape& s) {
      return s.w_in * static_cast<int64_t>(sizeof(WindowRange)) +
             (s.h_out + 2 * s.w_out + kMaxGathered * round_up(s.w_in, Lanes)) *
                 static_cast<int64_t>(sizeof(float));
    }
  };

  // The row dx of the plane whose gradient is dy.
  static void add_row(const Shape& s, const WindowRange& rows, const Tables& tables,
                      const float* dy, float* dx) {
    add_quotients(s, tables, rows, dy);
    if (tables.depth <= kMaxGathered) {
      for (int64_t w = 0; w < s.w_in; w += Lanes) {
        f32<Lanes> sum{};
        for (int64_t u = 0; u < tables.depth; ++u) {
          sum += gather<Lanes>(tables.sums, tables.gathered + u * tables.width + w);
        }
        store_partial<Lanes>(dx + w, sum, min(Lanes, s.w_in - w));
      }
      return;
    }
    for (int64_t w = 0; w < s.w_in; ++w) {
      float sum = 0;
      for (int64_t j = tables.columns[w].first; j < tables.columns[w].last; ++j) {
        sum += tables.sums[j];
      }
      dx[w] = sum;
    }
  }

  // sums[j] = the sum of dy[i, j] / d(i, j) over the rows i.
  static void add_quotients(const Shape& s, const Tables& tables, const WindowRange& rows,
                            const float* dy) {
    for (int64_t j = 0; j < s.w_out; j += Lanes) {
      const int64_t lanes = min(Lanes, s.w_out - j);
      f32<Lanes> extents = load_partial<Lanes>(tables.column_extents + j, lanes);
      extents = extents == f32<Lanes>{} ? broadcast<Lanes>(1.0f) : extents;  // lanes past the end
      f32<Lanes> sum{};
      for (int64_t i = rows.first; i < rows.last; ++i) {
        sum += load_partial<Lanes>(dy + i * s.w_out + j, lanes) /
               (extents * broadcast<Lanes>(tables.row_extents[i]));
      }
      store_partial<Lanes>(tables.sums + j, sum, lanes);
    }
  }

  static void add_channels(const Shape& s, const WindowRange& rows, const Tables& tables,
                           const ChannelBlock& block, const AverageOperands<float>& o) {
    const float* dy = o.in + block.row / s.h_in * s.h_out * s.w_out * s.c;
    float* dx = o.out + block.row * s.w_in * s.c;
    for (int64_t w = 0; w < s.w_in; ++w, dx += s.c) {
      const WindowRange columns = tables.columns[w];
      int64_t c = block.first;
      for (; c + 4 * Lanes <= block.last; c += 4 * Lanes) {
        add_up<Lanes, 4>(s, tables, rows, columns, dy + c, dx + c);
      }
      cover<Lanes>(block.first, c, block.last, [&](auto width, int64_t at) {
        add_up<decltype(width)::kLanes, 1>(s, tables, rows, columns, dy + at, dx + at);
      });
    }
  }

  // N * Vectors channels of one pixel of dx.
  template <int N, int Vectors>
  static void add_up(const Shape& s, const Tables& tables, const WindowRange& rows,
                     const WindowRange& columns, const float* dy, float* dx) {
    f32<N> sum[Vectors] = {};
    for (int64_t i = rows.first; i < rows.last; ++i) {
      for (int64_t j = columns.first; j < columns.last; ++j) {
        const f32<N> d = broadcast<N>(tables.row_extents[i] * tables.column_extents[j]);
        const float* p = dy + (i * s.w_out + j) * s.c;
        for (int v = 0; v < Vectors; ++v) sum[v] += load<N>(p + v * N) / d;
      }
    }
    for (int v = 0; v < Vectors; ++v) store<N>(dx + v * N, sum[v]);
  }
};

}  // namespace
}  // namespace cnnext
