// SPDX-License-Identifier: BSD-3-Clause
// The gradient of adaptive_max_pool2d: outputs are few, so each dy is added to the position that
// its window recorded, after dx is filled with zeros, which is most of the work. Tasks own planes
// (nchw) or, so that one image is work for several threads, blocks of an image's channels. There is
// nothing in it for wider vectors.
#pragma once

#include "common/simd/simd.h"
#include "pooling/adaptive_max_pool2d.h"
#include "pooling/channels.h"

namespace cnnext {
namespace {

struct AdaptiveMaxPool2dScatter {
  using Operands = AdaptiveMaxPool2dOperands<float>;

  static Plan plan(const AdaptivePoolShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.layout == Layout::nchw ? s.n * s.c : s.n * channel_blocks(s.c);
    return plan;
  }

  static void run(const AdaptivePoolShape& s, const Plan&, const Operands& o, const Slice& slice) {
    const int64_t in = s.h_in * s.w_in, out = s.h_out * s.w_out;
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (s.layout == Layout::nchw) {
        scatter(in, out, 1, 0, 1, o.in + task * out, o.indices + task * out, o.out + task * in);
      } else {
        const ChannelBlock block(task, s.c);
        const int64_t at = block.row * out * s.c;
        scatter(in, out, s.c, block.first, block.last, o.in + at, o.indices + at,
                o.out + block.row * in * s.c);
      }
    }
  }

 private:
  // Channels [first, last) of an image of `in` positions.
  static void scatter(int64_t in, int64_t out, int64_t channels, int64_t first, int64_t last,
                      const float* dy, const int64_t* indices, float* dx) {
    if (last - first == channels) {
      fill_zero(dx, in * channels);
    } else {
      for (int64_t p = 0; p < in; ++p) fill_zero(dx + p * channels + first, last - first);
    }
    for (int64_t p = 0; p < out; ++p, dy += channels, indices += channels) {
      for (int64_t c = first; c < last; ++c) {
        // Positions that adaptive_max_pool2d did not record may point anywhere.
        if (indices[c] >= 0 && indices[c] < in) dx[indices[c] * channels + c] += dy[c];
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
