// SPDX-License-Identifier: BSD-3-Clause
// The gradient of max_pool2d, in one of two forms.
//
// Scatter: each dy is added to the position that its window recorded; tasks own whole planes (nchw)
// or images (channels_last, of fewer channels than a vector has lanes).
//
// Gather, for channels_last: lanes are channels. Each position of dx adds up, in registers, the dy
// of the windows that hold it, wherever they recorded it, and is written once; tasks own rows.
#pragma once

#include "common/simd.h"
#include "max_pool2d/max_pool2d.h"

namespace cnnext {
namespace {

template <int Lanes>
struct MaxPool2dBackwardInput {
  static Plan plan(const MaxPool2dShape& s, int threads) {
    Plan plan;
    if (s.layout == Layout::nchw) {
      plan.block[0] = kScatter;
      plan.tasks[0] = s.n * s.c;
    } else if (s.c < Lanes && s.n >= threads) {
      plan.block[0] = kScatter;
      plan.tasks[0] = s.n;
    } else {
      plan.block[0] = kGather;
      plan.tasks[0] = s.n * s.h_in;
      plan.chunk_bytes = (s.h_in + s.w_in) * static_cast<int64_t>(sizeof(Windows));
    }
    return plan;
  }

  static void run(const MaxPool2dShape& s, const Plan& plan, const MaxPool2dOperands<float>& o,
                  const Slice& slice) {
    if (plan.block[0] == kGather) {
      gather(s, o, slice);
    } else if (s.layout == Layout::nchw) {
      scatter(s, 1, o, slice);  // the constant spares the loop over channels
    } else {
      scatter(s, s.c, o, slice);
    }
  }

 private:
  enum Form : int64_t { kScatter, kGather };

  // Of each offset, the way from the window's corner. Offsets that max_pool2d does not record for
  // this window lead outside the image.
  struct Taps {
    int64_t h[kLargestByteWindow], w[kLargestByteWindow];

    explicit Taps(const MaxPool2dShape& s) {
      for (int64_t i = 0; i < kLargestByteWindow; ++i) {
        h[i] = i < s.window() ? i / s.k_w * s.dilation_h : -s.h_in;
        w[i] = i % s.k_w * s.dilation_w;
      }
    }
  };

  // One task is all positions of `channels` channels that lie side by side.
  CNNEXT_INLINE static void scatter(const MaxPool2dShape& s, int64_t channels,
                                    const MaxPool2dOperands<float>& o, const Slice& slice) {
    const Taps taps(s);
    const int64_t in = s.h_in * s.w_in * channels, out = s.h_out * s.w_out * channels;
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const float* dy = o.in + task * out;
      const uint8_t* offsets = o.offsets + task * out;
      float* const dx = o.out + task * in;
      fill_zero(dx, in);
      for (int64_t i = 0; i < s.h_out; ++i) {
        for (int64_t j = 0; j < s.w_out; ++j) {
          for (int64_t c = 0; c < channels; ++c, ++offsets, ++dy) {
            const int64_t h = i * s.stride_h - s.pad_h + taps.h[*offsets];
            const int64_t w = j * s.stride_w - s.pad_w + taps.w[*offsets];
            if (h >= 0 && h < s.h_in && w >= 0 && w < s.w_in) {
              dx[(h * s.w_in + w) * channels + c] += *dy;
            }
          }
        }
      }
    }
  }

  // Of one position along one axis, the windows that hold it: `count` of them, every Axis::step-th
  // from `first` on. It is tap `tap` of the first; the taps of the others fall by Axis::tap_step.
  // (A position is in window i iff stride i - dilation tap is constant, so solutions are equally
  // spaced, alike for all positions.)
  struct Windows {
    int32_t count;
    int32_t tap;
    int64_t first;
  };

  struct Axis {
    Windows* at;  // of every position
    int64_t step = 0, tap_step = 0;

    Axis(Windows* table, int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad,
         int64_t dilation)
        : at(table) {
      __builtin_memset(table, 0, static_cast<uint64_t>(in) * sizeof(Windows));
      for (int64_t i = 0; i < out; ++i) {
        const int64_t start = i * stride - pad;
        const TapRange taps = taps_inside(start, kernel, dilation, in);
        for (int64_t t = taps.first; t < taps.last; ++t) {
          Windows& windows = table[start + t * dilation];
          if (windows.count == 0) {
            windows.first = i;
            windows.tap = static_cast<int32_t>(t);
          } else if (windows.count == 1) {
            step = i - windows.first;
            tap_step = windows.tap - t;
          }
          ++windows.count;
        }
      }
    }
  };

  static void gather(const MaxPool2dShape& s, const MaxPool2dOperands<float>& o,
                     const Slice& slice) {
    Windows* const tables = reinterpret_cast<Windows*>(slice.chunk);
    const Axis h(tables, s.h_in, s.h_out, s.k_h, s.stride_h, s.pad_h, s.dilation_h);
    const Axis w(tables + s.h_in, s.w_in, s.w_out, s.k_w, s.stride_w, s.pad_w, s.dilation_w);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const int64_t image = task / s.h_in * s.h_out * s.w_out * s.c;
      const Windows rows = h.at[task % s.h_in];
      float* dx = o.out + task * s.w_in * s.c;
      for (int64_t j = 0; j < s.w_in; ++j, dx += s.c) {
        const Pixel pixel{h, w, rows, w.at[j], o.in + image, o.offsets + image, dx};
        int64_t c = 0;
        for (; c + 4 * Lanes <= s.c; c += 4 * Lanes) add_up<Lanes, 4>(s, pixel, c);
        cover<Lanes>(0, c, s.c, [&](auto width, int64_t at) {
          add_up<decltype(width)::kLanes, 1>(s, pixel, at);
        });
      }
    }
  }

  struct Pixel {
    const Axis &h, &w;
    Windows rows, columns;
    const float* dy;         // of its image
    const uint8_t* offsets;  // of its image
    float* dx;
  };

  // N * Vectors channels of one pixel of dx. Windows come in ATen's order, and sums begin with
  // zero, which makes -0 a zero as there.
  template <int N, int Vectors>
  static void add_up(const MaxPool2dShape& s, const Pixel& p, int64_t c) {
    f32<N> sum[Vectors] = {};
    int64_t i = p.rows.first, r = p.rows.tap;
    for (int32_t m = 0; m < p.rows.count; ++m, i += p.h.step, r -= p.h.tap_step) {
      int64_t j = p.columns.first, t = p.columns.tap;
      for (int32_t n = 0; n < p.columns.count; ++n, j += p.w.step, t -= p.w.tap_step) {
        const int64_t at = (i * s.w_out + j) * s.c + c;
        for (int v = 0; v < Vectors; ++v) {
          sum[v] += chosen<N>(p.dy + at + v * N, p.offsets + at + v * N,
                              static_cast<int32_t>(r * s.k_w + t));
        }
      }
    }
    for (int v = 0; v < Vectors; ++v) store<N>(p.dx + c + v * N, sum[v]);
  }

  // dy where the recorded offset is `offset`, zero elsewhere.
  template <int N>
  CNNEXT_INLINE static f32<N> chosen(const float* dy, const uint8_t* offsets, int32_t offset) {
    const i32<N> recorded = load_bytes<N>(offsets);
    return recorded == offset ? load<N>(dy) : f32<N>{};
  }
};

}  // namespace
}  // namespace cnnext
