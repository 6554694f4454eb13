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

  CNNEXT_INLINE void store_value(float* p) const { store<N>(p, value); }

  CNNEXT_INLINE void store_offsets(uint8_t* p) const {
    typedef uint8_t u8 __attribute__((vector_size(N)));
    const u8 bytes = __builtin_convertvector(offset, u8);
    __builtin_memcpy(p, &bytes, N);
  }
};

template <>
struct Maximum<1> {
  float value;
  int32_t offset;

  CNNEXT_INLINE void start(f32<1> first, int32_t first_offset) {
    value = first[0];
    offset = first_offset;
  }

  CNNEXT_INLINE void take(f32<1> candidate, int32_t candidate_offset) {
    const float v = candidate[0];
    if (v > value || v != v) {
      value = v;
      offset = candidate_offset;
    }
  }

  CNNEXT_INLINE void store_value(float* p) const { *p = value; }
  CNNEXT_INLINE void store_offsets(uint8_t* p) const { *p = static_cast<uint8_t>(offset); }
};

// p[0], p[stride], ..., p[(N-1) * stride]. Reads nothing past the last of them: for stride 2 the
// second vector begins at p[N-1], so that its odd elements are wanted.
template <int N>
CNNEXT_INLINE f32<N> load_strided(const float* p, int64_t stride) {
  if (stride == 1) return load<N>(p);
#if CNNEXT_X86
  if (stride == 2) {
    if constexpr (N == 4) {
      return _mm_shuffle_ps(load<4>(p), load<4>(p + 3), 0xd8);
    }
#if defined(__AVX2__)
    if constexpr (N == 8) {
      const __m256 pairs = _mm256_shuffle_ps(load<8>(p), load<8>(p + 7), 0xd8);
      return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(pairs), 0xd8));
    }
#endif
#if defined(__AVX512F__)
    if constexpr (N == 16) {
      const __m512i wanted =
          _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
      return _mm512_permutex2var_ps(load<16>(p), wanted, load<16>(p + 15));
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
    // Of each row, the outputs [first, last) whose windows touch neither side border.
    const int64_t room = s.w_in + s.pad_w - (s.k_w - 1) * s.dilation_w - 1;
    const int64_t first = least(s.w_out, ceil_div(s.pad_w, s.stride_w));
    const int64_t last = most(first, room < 0 ? 0 : least(s.w_out, room / s.stride_w + 1));
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (s.layout == Layout::nchw) {
        for (int64_t i = 0; i < s.h_out; ++i) {
          row_nchw(s, i, first, last, o.in + task * s.h_in * s.w_in,
                   o.out + (task * s.h_out + i) * s.w_out,
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
      remaining_channels<Lanes>(s, c, window, rows, columns, y + j * s.c, out);
    }
  }

  // Channels [c, s.c), which may be few; the last vector overlaps the one before it.
  template <int N>
  static void remaining_channels(const MaxPool2dShape& s, int64_t c, const float* window,
                                 TapRange rows, TapRange columns, float* y, uint8_t* offsets) {
    if (c < s.c && s.c >= N) {
      for (; c < s.c; c += N) {
        const int64_t at = least(c, s.c - N);
        channels<N, 1>(s, window + at, rows, columns, y + at, offsets ? offsets + at : offsets);
      }
    } else if constexpr (N > 1) {
      remaining_channels<(N > 4 ? N / 2 : 1)>(s, c, window, rows, columns, y, offsets);
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
    inner_outputs<Lanes>(s, plane, h0, rows, first, last, y, offsets);
    for (int64_t j = last; j < s.w_out; ++j) outputs<1>(s, plane, h0, rows, j, y, offsets);
  }

  // Outputs [first, last), which may be few; the last vector overlaps the one before it.
  template <int N>
  static void inner_outputs(const MaxPool2dShape& s, const float* plane, int64_t h0, TapRange rows,
                            int64_t first, int64_t last, float* y, uint8_t* offsets) {
    if (last - first >= N) {
      for (int64_t j = first; j < last; j += N) {
        outputs<N>(s, plane, h0, rows, least(j, last - N), y, offsets);
      }
    } else if constexpr (N > 1) {
      inner_outputs<(N > 4 ? N / 2 : 1)>(s, plane, h0, rows, first, last, y, offsets);
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
    best.store_value(y + j);
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
