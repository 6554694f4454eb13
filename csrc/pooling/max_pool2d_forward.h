// SPDX-License-Identifier: BSD-3-Clause
// max_pool2d on vectors, for any window of at most 256 elements.
//
// channels_last: lanes are channels. Each output keeps its maximum and the window offset of it
// in registers over all taps; padding costs nothing, since a tap outside is outside for every lane.
//
// nchw with wide rows: lanes are neighbouring outputs of one row, whose windows lie inside the
// image from left to right (above and below, a tap is outside for all lanes alike); the outputs at
// the two borders are computed one at a time.
//
// nchw with narrow rows: planes become channels (planes.h).
//
// Both read each input once per window that holds it; memory is the limit.
#pragma once

#include "common/simd/strided.h"
#include "pooling/max_pool2d.h"
#include "pooling/maximum.h"
#include "pooling/planes.h"

namespace cnnext {
namespace {

template <int Lanes>
struct MaxPool2dForward {
  static constexpr int64_t kWideRow = 2 * Lanes;

  static Plan plan(const MaxPool2dShape& s, int) {
    Plan plan;
    if (s.layout == Layout::channels_last) {
      plan.tasks[0] = s.n * s.h_out;
    } else if (rows_fill_vectors(s)) {
      plan.tasks[0] = s.n * s.c;
    } else {
      plan.tasks[0] = PlaneBlock<Lanes>::count(s);
      plan.chunk_bytes = Lanes * (4 * s.h_in * s.w_in + (4 + 1) * s.h_out * s.w_out);
    }
    return plan;
  }

  static void run(const MaxPool2dShape& s, const Plan&, const MaxPool2dOperands<float>& o,
                  const Slice& slice) {
    if (s.layout == Layout::channels_last) {
      for (int64_t task = slice.begin; task < slice.end; ++task) {
        const int64_t at = task * s.w_out * s.c;
        row_channels_last(s, task % s.h_out, o.in + task / s.h_out * s.h_in * s.w_in * s.c,
                          o.out + at, o.offsets == nullptr ? nullptr : o.offsets + at);
      }
    } else if (rows_fill_vectors(s)) {
      planes(s, o, slice.begin, slice.end);
    } else {
      for (int64_t task = slice.begin; task < slice.end; ++task) {
        narrow_planes(s, o, PlaneBlock<Lanes>(s, task), slice.chunk);
      }
    }
  }

 private:
  static bool rows_fill_vectors(const MaxPool2dShape& s) {
    return s.w_out >= kWideRow || s.h_in * s.w_in > l2_floats(6) / Lanes;  // one a lane
  }

  static void narrow_planes(const MaxPool2dShape& s, const MaxPool2dOperands<float>& o,
                            const PlaneBlock<Lanes>& block, unsigned char* scratch) {
    const int64_t in = s.h_in * s.w_in, out = s.h_out * s.w_out;
    float* const x = reinterpret_cast<float*>(scratch);
    float* const y = x + in * Lanes;
    uint8_t* const offsets = reinterpret_cast<uint8_t*>(y + out * Lanes);
    MaxPool2dShape lanes = s;
    lanes.c = Lanes;
    block.load(o.in, in, 0, in, x);
    for (int64_t i = 0; i < s.h_out; ++i) {
      const int64_t at = i * s.w_out * Lanes;
      row_channels_last(lanes, i, x, y + at, o.offsets == nullptr ? nullptr : offsets + at);
    }
    block.store(y, o.out, out, 0, out);
    if (o.offsets != nullptr) block.store(offsets, o.offsets, out, 0, out);
  }

  static void planes(const MaxPool2dShape& s, const MaxPool2dOperands<float>& o, int64_t begin,
                     int64_t end) {
    // In each row, outputs [first, last) have windows that touch neither side border.
    const int64_t room = s.w_in + s.pad_w - (s.k_w - 1) * s.dilation_w - 1;
    const int64_t first = min(s.w_out, ceil_div(s.pad_w, s.stride_w));
    const int64_t last = max(first, room < 0 ? 0 : min(s.w_out, room / s.stride_w + 1));
    for (int64_t plane = begin; plane < end; ++plane) {
      for (int64_t i = 0; i < s.h_out; ++i) {
        const int64_t at = (plane * s.h_out + i) * s.w_out;
        row_nchw(s, i, first, last, o.in + plane * s.h_in * s.w_in, o.out + at,
                 o.offsets == nullptr ? nullptr : o.offsets + at);
      }
    }
  }

  static void row_channels_last(const MaxPool2dShape& s, int64_t i, const float* image, float* y,
                                uint8_t* offsets) {
    const int64_t h0 = i * s.stride_h - s.pad_h;
    const TapRange rows = taps_inside(h0, s.k_h, s.dilation_h, s.h_in);
    for (int64_t j = 0; j < s.w_out; ++j) {
      const int64_t w0 = j * s.stride_w - s.pad_w;
      const TapRange columns = taps_inside(w0, s.k_w, s.dilation_w, s.w_in);
      const float* window = image + (h0 * s.w_in + w0) * s.c;
      uint8_t* const out = offsets == nullptr ? nullptr : offsets + j * s.c;
      int64_t c = 0;
      for (; c + 2 * Lanes <= s.c; c += 2 * Lanes) {
        channels<Lanes, 2>(s, window + c, rows, columns, y + j * s.c + c, out ? out + c : out);
      }
      cover<Lanes>(0, c, s.c, [&](auto width, int64_t at) {
        channels<decltype(width)::kLanes, 1>(s, window + at, rows, columns, y + j * s.c + at,
                                             out ? out + at : out);
      });
    }
  }

  // N * Vectors channels of one window.
  template <int N, int Vectors>
  static void channels(const MaxPool2dShape& s, const float* window, TapRange rows,
                       TapRange columns, float* y, uint8_t* offsets) {
    const int64_t step_h = s.dilation_h * s.w_in * s.c, step_w = s.dilation_w * s.c;
    Maximum<N> best[Vectors];
    const float* first = window + rows.first * step_h + columns.first * step_w;
    for (int v = 0; v < Vectors; ++v) {
      best[v].start(load<N>(first + v * N),
                    static_cast<int32_t>(rows.first * s.k_w + columns.first));
    }
    for (int64_t r = rows.first; r < rows.last; ++r) {
      for (int64_t t = columns.first; t < columns.last; ++t) {
        const float* tap = window + r * step_h + t * step_w;
        for (int v = 0; v < Vectors; ++v) {
          best[v].take(load<N>(tap + v * N), static_cast<int32_t>(r * s.k_w + t));
        }
      }
    }
    for (int v = 0; v < Vectors; ++v) {
      best[v].store_value(y + v * N);
      if (offsets != nullptr) best[v].store_offsets(offsets + v * N);
    }
  }

  static void row_nchw(const MaxPool2dShape& s, int64_t i, int64_t first, int64_t last,
                       const float* plane, float* y, uint8_t* offsets) {
    const int64_t h0 = i * s.stride_h - s.pad_h;
    const TapRange rows = taps_inside(h0, s.k_h, s.dilation_h, s.h_in);
    for (int64_t j = 0; j < first; ++j) outputs<1>(s, plane, h0, rows, j, y, offsets);
    cover<Lanes>(first, first, last, [&](auto width, int64_t j) {
      outputs<decltype(width)::kLanes>(s, plane, h0, rows, j, y, offsets);
    });
    for (int64_t j = last; j < s.w_out; ++j) outputs<1>(s, plane, h0, rows, j, y, offsets);
  }

  // Outputs j .. j+N-1 of a row; for N > 1 no window may touch a side border.
  template <int N>
  static void outputs(const MaxPool2dShape& s, const float* plane, int64_t h0, TapRange rows,
                      int64_t j, float* y, uint8_t* offsets) {
    const int64_t w0 = j * s.stride_w - s.pad_w;
    const TapRange columns =
        N > 1 ? TapRange{0, s.k_w} : taps_inside(w0, s.k_w, s.dilation_w, s.w_in);
    const int64_t stride = N > 1 ? s.stride_w : 1;
    const float* window = plane + h0 * s.w_in + w0;
    const int64_t step_h = s.dilation_h * s.w_in;
    Maximum<N> best;
    best.start(load_strided<N>(window + rows.first * step_h + columns.first * s.dilation_w, stride),
               static_cast<int32_t>(rows.first * s.k_w + columns.first));
    for (int64_t r = rows.first; r < rows.last; ++r) {
      for (int64_t t = columns.first; t < columns.last; ++t) {
        best.take(load_strided<N>(window + r * step_h + t * s.dilation_w, stride),
                  static_cast<int32_t>(r * s.k_w + t));
      }
    }
    best.store_value(y + j);
    if (offsets != nullptr) best.store_offsets(offsets + j);
  }
};

}  // namespace
}  // namespace cnnext
