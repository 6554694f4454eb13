// SPDX-License-Identifier: BSD-3-Clause
// The gradient of max_pool2d on vectors: adds each dy to the position that its window recorded.
// Tasks own whole planes, or all positions of a block of channels, so no two of them write the same
// element. In channels_last, lanes are channels, each of which takes or leaves its dy at every tap.
#pragma once

#include "common/simd.h"
#include "max_pool2d/max_pool2d.h"

namespace cnnext {
namespace {

template <int Lanes>
struct MaxPool2dBackwardInput {
  static constexpr int64_t kFewestChannels = 64;  // 256 B: whole cache lines of every pixel

  static Plan plan(const MaxPool2dShape& s, int threads) {
    Plan plan;
    if (s.layout == Layout::nchw) {
      plan.tasks[0] = s.n * s.c;
    } else {
      // Whole images where there are enough of them, else blocks of channels.
      const int64_t blocks = ceil_div(2 * threads, s.n);
      const int64_t channels = most(kFewestChannels, round_up(ceil_div(s.c, blocks), Lanes));
      plan.block[0] = least(s.c, channels);
      plan.tasks[0] = s.n * ceil_div(s.c, plan.block[0]);
    }
    return plan;
  }

  static void run(const MaxPool2dShape& s, const Plan& plan, const MaxPool2dOperands<float>& o,
                  const Slice& slice) {
    const Taps taps(s);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (s.layout == Layout::nchw) {
        plane(s, taps, o.in + task * s.h_out * s.w_out, o.offsets + task * s.h_out * s.w_out,
              o.out + task * s.h_in * s.w_in);
      } else {
        const int64_t blocks = ceil_div(s.c, plan.block[0]);
        const int64_t image = task / blocks, c0 = task % blocks * plan.block[0];
        const int64_t y = image * s.h_out * s.w_out * s.c + c0;
        channel_block(s, least(plan.block[0], s.c - c0), o.in + y, o.offsets + y,
                      o.out + image * s.h_in * s.w_in * s.c + c0);
      }
    }
  }

 private:
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

  static void plane(const MaxPool2dShape& s, const Taps& taps, const float* dy,
                    const uint8_t* offsets, float* dx) {
    fill_zero(dx, s.h_in * s.w_in);
    for (int64_t i = 0; i < s.h_out; ++i) {
      for (int64_t j = 0; j < s.w_out; ++j, ++offsets, ++dy) {
        const int64_t h = i * s.stride_h - s.pad_h + taps.h[*offsets];
        const int64_t w = j * s.stride_w - s.pad_w + taps.w[*offsets];
        if (h >= 0 && h < s.h_in && w >= 0 && w < s.w_in) dx[h * s.w_in + w] += *dy;
      }
    }
  }

  static void channel_block(const MaxPool2dShape& s, int64_t channels, const float* dy,
                            const uint8_t* offsets, float* dx) {
    const bool disjoint =
        s.stride_h > (s.k_h - 1) * s.dilation_h && s.stride_w > (s.k_w - 1) * s.dilation_w;
    // Windows that tile the image write every position themselves.
    const bool tiles = s.pad_h == 0 && s.pad_w == 0 && s.dilation_h == 1 && s.dilation_w == 1 &&
                       s.stride_h == s.k_h && s.stride_w == s.k_w && s.h_out * s.k_h == s.h_in &&
                       s.w_out * s.k_w == s.w_in;
    if (!tiles) clear(dx, s.c, channels, s.h_in * s.w_in);
    for (int64_t i = 0; i < s.h_out; ++i) {
      const int64_t h0 = i * s.stride_h - s.pad_h;
      const TapRange rows = taps_inside(h0, s.k_h, s.dilation_h, s.h_in);
      for (int64_t j = 0; j < s.w_out; ++j, dy += s.c, offsets += s.c) {
        const int64_t w0 = j * s.stride_w - s.pad_w;
        const TapRange columns = taps_inside(w0, s.k_w, s.dilation_w, s.w_in);
        for (int64_t r = rows.first; r < rows.last; ++r) {
          for (int64_t t = columns.first; t < columns.last; ++t) {
            float* const out =
                dx + ((h0 + r * s.dilation_h) * s.w_in + w0 + t * s.dilation_w) * s.c;
            const int32_t offset = static_cast<int32_t>(r * s.k_w + t);
            if (disjoint) {
              give<true>(channels, dy, offsets, offset, out);
            } else {
              give<false>(channels, dy, offsets, offset, out);
            }
          }
        }
      }
    }
  }

  static void clear(float* dx, int64_t pixel, int64_t channels, int64_t pixels) {
    if (channels == pixel) return fill_zero(dx, pixel * pixels);
    for (int64_t i = 0; i < pixels; ++i, dx += pixel) {
      int64_t c = 0;
      for (; c + Lanes <= channels; c += Lanes) store<Lanes>(dx + c, f32<Lanes>{});
      for (; c < channels; ++c) dx[c] = 0;
    }
  }

  // Adds dy to one position wherever its window recorded it. If no other window holds the position,
  // it is just written.
  template <bool kDisjoint>
  static void give(int64_t channels, const float* dy, const uint8_t* offsets, int32_t offset,
                   float* dx) {
    int64_t c = 0;
    for (; c + Lanes <= channels; c += Lanes) {
      const f32<Lanes> share = chosen<Lanes>(dy + c, offsets + c, offset);
      // Adding to zero makes -0 a zero, as in ATen.
      store<Lanes>(dx + c, (kDisjoint ? f32<Lanes>{} : load<Lanes>(dx + c)) + share);
    }
    for (; c < channels; ++c) {
      const float share = offsets[c] == offset ? dy[c] : 0.0f;
      dx[c] = (kDisjoint ? 0.0f : dx[c]) + share;
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
