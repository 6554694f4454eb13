// SPDX-License-Identifier: BSD-3-Clause
// The gradient of max_pool2d, in one of three forms.
//
// Gather, for channels_last: lanes are channels. Each position of dx adds up, in registers, the dy
// of the windows that hold it, wherever they recorded it, and is written once; tasks own rows.
//
// Bands, for nchw: planes become the lanes of one image of channels (planes.h), some rows of dx at
// a time, which are gathered likewise. If each position is in one window, each window writes its
// positions instead.
//
// Scatter, for few planes or channels, large windows and very long rows: each dy is added to the
// position that its window recorded; tasks own whole planes (nchw) or images (channels_last).
#pragma once

#include "common/simd/simd.h"
#include "pooling/max_pool2d.h"
#include "pooling/planes.h"

namespace cnnext {
namespace {

template <int Lanes>
struct MaxPool2dBackwardInput {
  static Plan plan(const MaxPool2dShape& s, int threads) {
    Plan plan;
    if (s.layout == Layout::nchw) {
      if (s.n * s.c < Lanes || s.window() > kMaxTaps || s.w_in > kLongestRow) {
        plan.block[0] = kScatter;
        plan.tasks[0] = s.n * s.c;
      } else {
        plan.block[0] = kBands;
        plan.tasks[0] = PlaneBlock<Lanes>::count(s) * ceil_div(s.h_in, band_rows(s));
        plan.chunk_bytes = AxisTables::bytes(s) + band_bytes(s);
      }
    } else if (s.c < Lanes && s.n >= threads) {
      plan.block[0] = kScatter;
      plan.tasks[0] = s.n;
    } else {
      plan.block[0] = kGather;
      plan.tasks[0] = s.n * s.h_in;
      plan.chunk_bytes = AxisTables::bytes(s);
    }
    return plan;
  }

  static void run(const MaxPool2dShape& s, const Plan& plan, const MaxPool2dOperands<float>& o,
                  const Slice& slice) {
    if (plan.block[0] == kGather) {
      gather(s, o, slice);
    } else if (plan.block[0] == kBands) {
      bands(s, o, slice);
    } else if (s.layout == Layout::nchw) {
      scatter(s, 1, o, slice);  // the constant spares the loop over channels
    } else {
      scatter(s, s.c, o, slice);
    }
  }

 private:
  enum Form : int64_t { kScatter, kGather, kBands };
  static constexpr int64_t kMaxTaps = 4 * Lanes;  // to add to more takes longer than to scatter
  static constexpr int64_t kLongestRow = 64 * 1024;

  // The way from the window's corner to the tap of each offset. Offsets that max_pool2d does not
  // record for this window lead outside the image.
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

  // The windows that hold one position along one axis: `count` of them, every AxisTable::step-th
  // from `first` on. It is tap `tap` of the first; the taps of the others fall by
  // AxisTable::tap_step.
  // (A position is in window i iff stride i - dilation tap is constant, so solutions are equally
  // spaced, alike for all positions.)
  struct CoveringWindows {
    int32_t count;
    int32_t tap;
    int64_t first;
  };

  struct AxisTable {
    CoveringWindows* at;  // of every position
    int64_t step = 0, tap_step = 0;

    AxisTable(CoveringWindows* table, int64_t in, int64_t out, int64_t kernel, int64_t stride,
              int64_t pad, int64_t dilation)
        : at(table) {
      __builtin_memset(table, 0, static_cast<uint64_t>(in) * sizeof(CoveringWindows));
      for (int64_t i = 0; i < out; ++i) {
        const int64_t start = i * stride - pad;
        const TapRange taps = taps_inside(start, kernel, dilation, in);
        for (int64_t t = taps.first; t < taps.last; ++t) {
          CoveringWindows& windows = table[start + t * dilation];
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

  // The windows that hold each position of the image.
  struct AxisTables {
    AxisTable h, w;

    AxisTables(const MaxPool2dShape& s, unsigned char* tables)
        : h(reinterpret_cast<CoveringWindows*>(tables), s.h_in, s.h_out, s.k_h, s.stride_h, s.pad_h,
            s.dilation_h),
          w(h.at + s.h_in, s.w_in, s.w_out, s.k_w, s.stride_w, s.pad_w, s.dilation_w) {}

    static int64_t bytes(const MaxPool2dShape& s) {
      return round_up((s.h_in + s.w_in) * static_cast<int64_t>(sizeof(CoveringWindows)), 64);
    }
  };

  static void gather(const MaxPool2dShape& s, const MaxPool2dOperands<float>& o,
                     const Slice& slice) {
    const AxisTables axes(s, slice.chunk);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const CoveringWindows rows = axes.h.at[task % s.h_in];
      const int64_t at = (task / s.h_in * s.h_out + rows.first) * s.w_out * s.c;
      gather_row(s, axes, rows, o.in + at, o.offsets + at, o.out + task * s.w_in * s.c);
    }
  }

  // Sixteen planes' bands take a quarter of L2.
  static int64_t band_rows(const MaxPool2dShape& s) {
    return min(s.h_in, max(1, l2_floats(4) / 16 / s.w_in));
  }

  // Rows of windows that touch a band, at most.
  static int64_t window_rows(const MaxPool2dShape& s) {
    return min(s.h_out, (band_rows(s) - 1 + (s.k_h - 1) * s.dilation_h) / s.stride_h + 1);
  }

  static int64_t band_bytes(const MaxPool2dShape& s) {
    return Lanes * (4 * band_rows(s) * s.w_in + (4 + 1) * window_rows(s) * s.w_out);
  }

  static void bands(const MaxPool2dShape& s, const MaxPool2dOperands<float>& o,
                    const Slice& slice) {
    const int64_t height = band_rows(s), count = ceil_div(s.h_in, height);
    const int64_t in = s.h_in * s.w_in, out = s.h_out * s.w_out;
    const AxisTables axes(s, slice.chunk);
    float* const dx = reinterpret_cast<float*>(slice.chunk + AxisTables::bytes(s));
    float* const dy = dx + height * s.w_in * Lanes;
    uint8_t* const offsets = reinterpret_cast<uint8_t*>(dy + window_rows(s) * s.w_out * Lanes);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const PlaneBlock<Lanes> block(s, task / count);
      const int64_t first = task % count * height, rows = min(height, s.h_in - first);
      const int64_t above = first + s.pad_h - (s.k_h - 1) * s.dilation_h;
      const int64_t begin = min(s.h_out, above <= 0 ? 0 : ceil_div(above, s.stride_h));
      const int64_t end = min(s.h_out, (first + rows - 1 + s.pad_h) / s.stride_h + 1);
      block.load(o.in, out, begin * s.w_out, (end - begin) * s.w_out, dy);
      block.load(o.offsets, out, begin * s.w_out, (end - begin) * s.w_out, offsets);
      if (windows_tile(s)) {
        write_windows(s, dy, offsets, begin, end, first, rows, dx);
      } else {
        for (int64_t h = 0; h < rows; ++h) {
          const CoveringWindows windows = axes.h.at[first + h];
          const int64_t at = (windows.first - begin) * s.w_out * Lanes;
          gather_lanes(s, axes, windows, dy + at, offsets + at, dx + h * s.w_in * Lanes);
        }
      }
      block.store(dx, o.out, in, first * s.w_in, rows * s.w_in);
    }
  }

  // Whether each position is in one window.
  static bool windows_tile(const MaxPool2dShape& s) {
    return s.k_h == s.stride_h && s.k_w == s.stride_w && s.dilation_h == 1 && s.dilation_w == 1 &&
           s.h_in == s.h_out * s.k_h && s.w_in == s.w_out * s.k_w && s.pad_h == 0 && s.pad_w == 0;
  }

  // Windows [begin, end) of the rows of dy, as far as they are in rows [first, first + rows) of dx.
  static void write_windows(const MaxPool2dShape& s, const float* dy, const uint8_t* offsets,
                            int64_t begin, int64_t end, int64_t first, int64_t rows, float* dx) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t top = i * s.k_h - first;
      const TapRange inside = taps_inside(top, s.k_h, 1, rows);
      float* window = dx + (top + inside.first) * s.w_in * Lanes;
      for (int64_t j = 0; j < s.w_out; ++j, window += s.k_w * Lanes) {
        const f32<Lanes> value = load<Lanes>(dy);
        const i32<Lanes> recorded = load_bytes<Lanes>(offsets);
        float* row = window;
        int32_t offset = static_cast<int32_t>(inside.first * s.k_w);
        for (int64_t r = inside.first; r < inside.last; ++r, row += s.w_in * Lanes) {
          for (int64_t t = 0; t < s.k_w; ++t, ++offset) {
            store<Lanes>(row + t * Lanes, recorded == offset ? value : f32<Lanes>{});
          }
        }
        dy += Lanes;
        offsets += Lanes;
      }
    }
  }

  // One row of an image of channels. dy and offsets are those of the row's first windows.
  static void gather_row(const MaxPool2dShape& s, const AxisTables& axes,
                         const CoveringWindows& rows, const float* dy, const uint8_t* offsets,
                         float* dx) {
    for (int64_t j = 0; j < s.w_in; ++j, dx += s.c) {
      const Pixel p = pixel(s, s.c, axes, rows, j);
      const int64_t at = axes.w.at[j].first * s.c;
      int64_t c = 0;
      for (; c + 4 * Lanes <= s.c; c += 4 * Lanes) {
        add_up<Lanes, 4>(p, dy + at + c, Lanes, offsets + at + c, dx + c, Lanes);
      }
      cover<Lanes>(0, c, s.c, [&](auto width, int64_t first) {
        add_up<decltype(width)::kLanes, 1>(p, dy + at + first, 0, offsets + at + first, dx + first,
                                           0);
      });
    }
  }

  // One row of a band. Positions a stride apart are the same taps of neighbouring windows, but for
  // the borders, and are added up side by side.
  static void gather_lanes(const MaxPool2dShape& s, const AxisTables& axes,
                           const CoveringWindows& rows, const float* dy, const uint8_t* offsets,
                           float* dx) {
    constexpr int kSide = 4;
    for (int64_t phase = 0; phase < min(s.stride_w, s.w_in); ++phase) {
      for (int64_t j = phase; j < s.w_in;) {
        const CoveringWindows &here = axes.w.at[j],
                              &last = axes.w.at[min(j + (kSide - 1) * s.stride_w, s.w_in - 1)];
        const Pixel p = pixel(s, Lanes, axes, rows, j);
        const int64_t at = here.first * Lanes;
        // Between two positions that no window holds there may be others.
        if (j + (kSide - 1) * s.stride_w < s.w_in && here.count > 0 && last.count == here.count &&
            last.tap == here.tap && last.first == here.first + kSide - 1) {
          add_up<Lanes, kSide>(p, dy + at, Lanes, offsets + at, dx + j * Lanes, s.stride_w * Lanes);
          j += kSide * s.stride_w;
        } else {
          add_up<Lanes, 1>(p, dy + at, 0, offsets + at, dx + j * Lanes, 0);
          j += s.stride_w;
        }
      }
    }
  }

  // The windows that hold one pixel of dx: how many, the pixel's offset in the first, and what
  // changes to the next.
  struct Pixel {
    int32_t rows, columns;
    int32_t offset, row_offsets, column_offsets;
    int64_t row_step, column_step;
  };

  CNNEXT_INLINE static Pixel pixel(const MaxPool2dShape& s, int64_t channels,
                                   const AxisTables& axes, const CoveringWindows& rows, int64_t j) {
    const CoveringWindows& columns = axes.w.at[j];
    return {rows.count,
            columns.count,
            static_cast<int32_t>(rows.tap * s.k_w + columns.tap),
            static_cast<int32_t>(axes.h.tap_step * s.k_w),
            static_cast<int32_t>(axes.w.tap_step),
            axes.h.step * s.w_out * channels,
            axes.w.step * channels};
  }

  // Vectors of N channels of one pixel, or of several in the same place of their windows, `step`
  // and `dx_step` from one to the next. Windows come in ATen's order, and sums begin with zero,
  // which makes -0 a zero as there.
  template <int N, int Vectors>
  CNNEXT_INLINE static void add_up(const Pixel& p, const float* dy, int64_t step,
                                   const uint8_t* offsets, float* dx, int64_t dx_step) {
    f32<N> sum[Vectors] = {};
    int32_t offset_of_row = p.offset;
    int64_t row = 0;
    for (int32_t m = p.rows; m > 0; --m, row += p.row_step, offset_of_row -= p.row_offsets) {
      int32_t offset = offset_of_row;
      int64_t at = row;
      for (int32_t n = p.columns; n > 0; --n, at += p.column_step, offset -= p.column_offsets) {
        for (int v = 0; v < Vectors; ++v) {
          sum[v] = add_chosen<N>(sum[v], dy + at + v * step, offsets + at + v * step, offset);
        }
      }
    }
    for (int v = 0; v < Vectors; ++v) store<N>(dx + v * dx_step, sum[v]);
  }

  // sum + dy where the recorded offset is `offset`.
  template <int N>
  CNNEXT_INLINE static f32<N> add_chosen(f32<N> sum, const float* dy, const uint8_t* offsets,
                                         int32_t offset) {
#if defined(__AVX512F__)
    if constexpr (N == 16) {
      const __m128i recorded = _mm_loadu_si128(reinterpret_cast<const __m128i*>(offsets));
      const __mmask16 chosen =
          _mm_cmpeq_epi8_mask(recorded, _mm_set1_epi8(static_cast<char>(offset)));
      return _mm512_mask_add_ps(sum, chosen, sum, load<N>(dy));
    }
#endif
    return sum + (load_bytes<N>(offsets) == offset ? load<N>(dy) : f32<N>{});
  }
};

}  // namespace
}  // namespace cnnext
