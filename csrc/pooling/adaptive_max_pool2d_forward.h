// SPDX-License-Identifier: BSD-3-Clause
// adaptive_max_pool2d on vectors.
//
// channels_last: lanes are channels. Each output keeps its maximum and the position of it in
// registers over its window; tasks are blocks of channels of an output row.
//
// nchw: windows have many widths and beginnings, and outputs are few, so that lanes along a row
// would stay empty. As many planes as there are lanes are transposed into scratch, a band of the
// rows of one window at a time, and pooled there as channels_last.
//
// Positions are kept in 32 bits until they are stored.
#pragma once

#include "common/kernel/machine.h"
#include "pooling/adaptive_max_pool2d.h"
#include "pooling/channels.h"
#include "pooling/maximum.h"

namespace cnnext {
namespace {

template <int Lanes>
struct AdaptiveMaxPool2dForward {
  using Operands = AdaptiveMaxPool2dOperands<float>;

  static Plan plan(const AdaptivePoolShape& s, int) {
    Plan plan;
    if (s.layout == Layout::channels_last) {
      plan.tasks[0] = s.n * s.h_out * channel_blocks(s.c);
    } else if (TransposedRows::is_small(s)) {
      plan.tasks[0] = ceil_div(s.n * s.c, Lanes) * s.h_out;
      plan.chunk_bytes = TransposedRows::bytes(s);
    } else {
      plan.tasks[0] = s.n * s.c * s.h_out;
    }
    return plan;
  }

  static void run(const AdaptivePoolShape& s, const Plan&, const Operands& o, const Slice& slice) {
    const AdaptiveMaxPool2dForward pool(s, o);
    const bool small = TransposedRows::is_small(s);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (s.layout == Layout::channels_last) {
        pool.channels(ChannelBlock(task, s.c));
      } else if (!small) {
        pool.plane(task / s.h_out, task % s.h_out);
      } else {
        pool.planes(task / s.h_out * Lanes, task % s.h_out, TransposedRows(s, slice.chunk));
      }
    }
  }

 private:
  AdaptiveMaxPool2dForward(const AdaptivePoolShape& shape, const Operands& operands)
      : s(shape), rows(s.rows()), columns(s.columns()), o(operands) {}

  // Scratch for `Lanes` planes as channels_last: the rows of one window, an output row, and where
  // its maxima are.
  struct TransposedRows {
    float *x, *y;
    int64_t* indices;

    TransposedRows(const AdaptivePoolShape& s, unsigned char* scratch)
        : indices(reinterpret_cast<int64_t*>(scratch)) {
      y = reinterpret_cast<float*>(indices + s.w_out * Lanes);
      x = y + s.w_out * Lanes;
    }

    // What of one plane belongs to an output row, at most.
    static int64_t plane_size(const AdaptivePoolShape& s) {
      return min(s.h_in, ceil_div(s.h_in, s.h_out) + 1) * s.w_in;
    }

    static bool is_small(const AdaptivePoolShape& s) {
      return s.w_out <= s.w_in && plane_size(s) <= l2_floats(4) / Lanes;
    }

    static int64_t bytes(const AdaptivePoolShape& s) {
      return Lanes * ((8 + 4) * s.w_out + 4 * plane_size(s));
    }
  };

  void channels(const ChannelBlock& block) const {
    const Window row = rows.window(block.row % s.h_out);
    const float* image = o.in + block.row / s.h_out * s.h_in * s.w_in * s.c;
    const int64_t at = block.row * s.w_out * s.c;
    pool_row(row, s.c, block.first, block.last, image + row.first * s.w_in * s.c, o.out + at,
             o.indices == nullptr ? nullptr : o.indices + at);
  }

  void plane(int64_t plane, int64_t i) const {
    const Window row = rows.window(i);
    const int64_t at = (plane * s.h_out + i) * s.w_out;
    pool_row(row, 1, 0, 1, o.in + (plane * s.h_in + row.first) * s.w_in, o.out + at,
             o.indices == nullptr ? nullptr : o.indices + at);
  }

  // Output row i of up to `Lanes` planes from `plane` on.
  void planes(int64_t plane, int64_t i, const TransposedRows& lines) const {
    const Window row = rows.window(i);
    const int64_t in = s.h_in * s.w_in, size = (row.last - row.first) * s.w_in;
    const int64_t count = min(Lanes, s.n * s.c - plane);
    if (count < Lanes) fill_zero(lines.x, size * Lanes);
    transpose_block<Lanes>(o.in + plane * in + row.first * s.w_in, in, lines.x, Lanes, count, size);
    const bool recorded = o.indices != nullptr;
    pool_row(row, Lanes, 0, Lanes, lines.x, lines.y, recorded ? lines.indices : nullptr);
    for (int64_t lane = 0; lane < count; ++lane) {
      const int64_t at = ((plane + lane) * s.h_out + i) * s.w_out;
      for (int64_t j = 0; j < s.w_out; ++j) o.out[at + j] = lines.y[j * Lanes + lane];
      if (!recorded) continue;
      for (int64_t j = 0; j < s.w_out; ++j) o.indices[at + j] = lines.indices[j * Lanes + lane];
    }
  }

  // Channels [first, last) of an output row; x begins with the first row of its windows.
  void pool_row(const Window& row, int64_t channels, int64_t first, int64_t last, const float* x,
                float* y, int64_t* indices) const {
    for (int64_t j = 0; j < s.w_out; ++j, y += channels) {
      const Window column = columns.window(j);
      cover<Lanes>(first, first, last, [&](auto width, int64_t c) {
        pool_window<decltype(width)::kLanes>(row, column, channels, x + c, y + c,
                                             indices == nullptr ? nullptr : indices + c);
      });
      if (indices != nullptr) indices += channels;
    }
  }

  // N channels of one window.
  template <int N>
  void pool_window(const Window& row, const Window& column, int64_t channels, const float* x,
                   float* y, int64_t* indices) const {
    const float* p = x + column.first * channels;
    Maximum<N> best;
    best.start(load<N>(p), static_cast<int32_t>(row.first * s.w_in + column.first));
    for (int64_t h = row.first; h < row.last; ++h, p += s.w_in * channels) {
      for (int64_t w = 0; w < column.last - column.first; ++w) {
        best.take(load<N>(p + w * channels), static_cast<int32_t>(h * s.w_in + column.first + w));
      }
    }
    best.store_value(y);
    if (indices != nullptr) best.store_positions(indices);
  }

  const AdaptivePoolShape& s;
  AdaptiveAxis rows, columns;
  const Operands& o;
};

}  // namespace
}  // namespace cnnext
