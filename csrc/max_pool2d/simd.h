// SPDX-License-Identifier: BSD-3-Clause
// max_pool2d on vectors, for any window of at most 256 elements.
//
// channels_last: lanes are channels. Each output keeps its maximum and the window offset of it
// in registers over all taps; padding costs nothing, since a tap outside is outside for every lane.
//
// nchw: lanes are neighbouring outputs of one row, whose windows lie inside the image from left to
// right (above and below, a tap is outside for all lanes alike); the outputs at the two borders are
// computed one at a time. Rows shorter than a vector use narrower ones.
//
// Both read each input once per window that holds it; memory is the limit.
#pragma once

#include "common/simd.h"
#include "max_pool2d/max_pool2d.h"

namespace cnnext {
namespace {

// The running maximum of N windows and its window offset.
template <int N>
struct Maximum {
  f32<N> value;
  i32<N> offset;

  CNNEXT_INLINE void start(f32<N> first, int32_t first_offset) {
    value = first;
    offset = i32<N>{} + first_offset;
  }

  CNNEXT_INLINE void take(f32<N> candidate, int32_t candidate_offset) {
#if defined(__AVX512F__)
    if constexpr (N == 16) {
      const __mmask16 larger = _mm512_cmp_ps_mask(candidate, value, _CMP_GT_OQ);
      const __mmask16 nan = _mm512_cmp_ps_mask(candidate, candidate, _CMP_UNORD_Q);
      const __mmask16 wins = _kor_mask16(larger, nan);
      value = _mm512_mask_mov_ps(value, wins, candidate);
      offset = reinterpret_cast<i32<N>>(
          _mm512_mask_set1_epi32(reinterpret_cast<__m512i>(offset), wins, candidate_offset));
      return;
    }
#endif
    const i32<N> wins = (candidate > value) | (candidate != candidate);
    value = wins ? candidate : value;
    offset = wins ? i32<N>{} + candidate_offset : offset;
  }

  CNNEXT_INLINE void store_offsets(uint8_t* p) const {
    typedef uint8_t u8 __attribute__((vector_size(N)));
    const u8 bytes = __builtin_convertvector(offset, u8);
    __builtin_memcpy(p, &bytes, N);
  }
};

// p[0], p[stride], ..., p[(N-1) * stride]. May read up to p[N * stride - 1].
template <int N>
CNNEXT_INLINE f32<N> load_strided(const float* p, int64_t stride) {
  if (stride == 1) return load<N>(p);
#if CNNEXT_X86
  if (stride == 2) {
    if constexpr (N == 4) {
      return _mm_shuffle_ps(load<4>(p), load<4>(p + 4), 0x88);
    }
#if defined(__AVX2__)
    if constexpr (N == 8) {
      const __m256 pairs = _mm256_shuffle_ps(load<8>(p), load<8>(p + 8), 0x88);
      return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(pairs), 0xd8));
    }
#endif
#if defined(__AVX512F__)
    if constexpr (N == 16) {
      const __m512i even =
          _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
      return _mm512_permutex2var_ps(load<16>(p), even, load<16>(p + 16));
    }
#endif
  }
#endif
  f32<N> v{};
  for (int lane = 0; lane < N; ++lane) v[lane] = p[lane * stride];
  return v;
}

template <int Lanes>
struct MaxPool2dForward {
  static Plan plan(const MaxPool2dShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.layout == Layout::nchw ? s.n * s.c : s.n * s.h_out;
    return plan;
  }

  static void run(const MaxPool2dShape& s, const Plan&, const MaxPool2dOperands<float>& o,
                  const Slice& slice) {
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (s.layout == Layout::nchw) {
        for (int64_t i = 0; i < s.h_out; ++i) {
          row_nchw(s, i, o.in + task * s.h_in * s.w_in, o.out + (task * s.h_out + i) * s.w_out,
                   o.offsets == nullptr ? nullptr : o.offsets + (task * s.h_out + i) * s.w_out);
        }
      } else {
        const int64_t at = task * s.w_out * s.c;
        row_channels_last(s, task % s.h_out, o.in + task / s.h_out * s.h_in * s.w_in * s.c,
                          o.out + at, o.offsets == nullptr ? nullptr : o.offsets + at);
      }
    }
  }

 private:
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
      for (; c + Lanes <= s.c; c += Lanes) {
        channels<Lanes, 1>(s, window + c, rows, columns, y + j * s.c + c, out ? out + c : out);
      }
      for (; c < s.c; ++c) {
        channels<1, 1>(s, window + c, rows, columns, y + j * s.c + c, out ? out + c : out);
      }
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
      store<N>(y + v * N, best[v].value);
      if (offsets != nullptr) best[v].store_offsets(offsets + v * N);
    }
  }

  static void row_nchw(const MaxPool2dShape& s, int64_t i, const float* plane, float* y,
                       uint8_t* offsets) {
    const int64_t h0 = i * s.stride_h - s.pad_h;
    const TapRange rows = taps_inside(h0, s.k_h, s.dilation_h, s.h_in);
    // The outputs whose windows touch neither side border.
    const int64_t reach = (s.k_w - 1) * s.dilation_w;
    const int64_t inner = least(s.w_out, ceil_div(s.pad_w, s.stride_w));
    int64_t j = 0;
    for (; j < inner; ++j) outputs<1>(s, plane, h0, rows, j, y, offsets);
    j = vectors<Lanes>(s, plane, h0, rows, j, reach, y, offsets);
    for (; j < s.w_out; ++j) outputs<1>(s, plane, h0, rows, j, y, offsets);
  }

  template <int N>
  static int64_t vectors(const MaxPool2dShape& s, const float* plane, int64_t h0, TapRange rows,
                         int64_t j, int64_t reach, float* y, uint8_t* offsets) {
    // The last element that load_strided may touch has to lie within the row.
    while (j + N <= s.w_out && (j + N) * s.stride_w - 1 - s.pad_w + reach < s.w_in) {
      outputs<N>(s, plane, h0, rows, j, y, offsets);
      j += N;
    }
    if constexpr (N > 4) {
      return vectors<N / 2>(s, plane, h0, rows, j, reach, y, offsets);
    } else {
      return j;
    }
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
    store<N>(y + j, best.value);
    if (offsets != nullptr) best.store_offsets(offsets + j);
  }
};

// Adds each dy to the position its window recorded. Tasks own whole planes, or all positions of a
// block of channels, so no two of them write the same element.
template <int Lanes>
struct MaxPool2dBackwardInput {
  static constexpr int64_t kChannelsPerTask = 64;  // 256 B: whole cache lines of every pixel

  static Plan plan(const MaxPool2dShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.layout == Layout::nchw ? s.n * s.c : s.n * ceil_div(s.c, kChannelsPerTask);
    return plan;
  }

  static void run(const MaxPool2dShape& s, const Plan&, const MaxPool2dOperands<float>& o,
                  const Slice& slice) {
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (s.layout == Layout::nchw) {
        plane(s, o.in + task * s.h_out * s.w_out, o.offsets + task * s.h_out * s.w_out,
              o.out + task * s.h_in * s.w_in);
      } else {
        const int64_t blocks = ceil_div(s.c, kChannelsPerTask);
        const int64_t image = task / blocks, c0 = task % blocks * kChannelsPerTask;
        const int64_t y = image * s.h_out * s.w_out * s.c + c0;
        channel_block(s, least(kChannelsPerTask, s.c - c0), o.in + y, o.offsets + y,
                      o.out + image * s.h_in * s.w_in * s.c + c0);
      }
    }
  }

 private:
  static void plane(const MaxPool2dShape& s, const float* dy, const uint8_t* offsets, float* dx) {
    fill_zero(dx, s.h_in * s.w_in);
    int64_t step[256];  // of a window offset, in the plane
    for (int64_t i = 0; i < s.window(); ++i) {
      step[i] = i / s.k_w * s.dilation_h * s.w_in + i % s.k_w * s.dilation_w;
    }
    for (int64_t i = 0; i < s.h_out; ++i) {
      float* const corner = dx + (i * s.stride_h - s.pad_h) * s.w_in - s.pad_w;
      for (int64_t j = 0; j < s.w_out; ++j) corner[j * s.stride_w + step[*offsets++]] += *dy++;
    }
  }

  static void channel_block(const MaxPool2dShape& s, int64_t channels, const float* dy,
                            const uint8_t* offsets, float* dx) {
    for (int64_t i = 0; i < s.h_in * s.w_in; ++i) fill_zero(dx + i * s.c, channels);
    for (int64_t i = 0; i < s.h_out; ++i) {
      const int64_t h0 = i * s.stride_h - s.pad_h;
      const TapRange rows = taps_inside(h0, s.k_h, s.dilation_h, s.h_in);
      for (int64_t j = 0; j < s.w_out; ++j, dy += s.c, offsets += s.c) {
        const int64_t w0 = j * s.stride_w - s.pad_w;
        const TapRange columns = taps_inside(w0, s.k_w, s.dilation_w, s.w_in);
        for (int64_t r = rows.first; r < rows.last; ++r) {
          for (int64_t t = columns.first; t < columns.last; ++t) {
            float* out = dx + ((h0 + r * s.dilation_h) * s.w_in + w0 + t * s.dilation_w) * s.c;
            const int32_t offset = static_cast<int32_t>(r * s.k_w + t);
            int64_t c = 0;
            for (; c + Lanes <= channels; c += Lanes) {
              store<Lanes>(out + c,
                           load<Lanes>(out + c) + chosen<Lanes>(dy + c, offsets + c, offset));
            }
            for (; c < channels; ++c) {
              if (offsets[c] == offset) out[c] += dy[c];
            }
          }
        }
      }
    }
  }

  // dy where the recorded offset is `offset`, zero elsewhere.
  template <int N>
  CNNEXT_INLINE static f32<N> chosen(const float* dy, const uint8_t* offsets, int32_t offset) {
    typedef uint8_t u8 __attribute__((vector_size(N)));
    u8 bytes;
    __builtin_memcpy(&bytes, offsets, N);
    const i32<N> recorded = __builtin_convertvector(bytes, i32<N>);
    return recorded == offset ? load<N>(dy) : f32<N>{};
  }
};

}  // namespace
}  // namespace cnnext
