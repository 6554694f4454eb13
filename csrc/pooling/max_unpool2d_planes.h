// SPDX-License-Identifier: BSD-3-Clause
// Unpooling: the result is filled with zeros, which is most of the work, and each x goes to its
// position; the gradient gathers. Tasks own planes (nchw) or, so that one image is work for several
// threads, blocks of an image's channels. There is nothing in it for wider vectors.
#pragma once

#include "common/simd/simd.h"
#include "pooling/channels.h"
#include "pooling/max_unpool2d.h"

namespace cnnext {
namespace {

// What a task owns: channels [first, last) of an image, whose pixels lie `pixel` elements apart.
struct UnpooledPlanes {
  int64_t pixel, first, last;
  int64_t in_begin, out_begin;  // where the image begins

  CNNEXT_INLINE UnpooledPlanes(const MaxUnpool2dShape& s, int64_t task) {
    if (s.layout == Layout::nchw) {
      pixel = 1, first = 0, last = 1;
      in_begin = task * s.in(), out_begin = task * s.out();
    } else {
      const ChannelBlock block(task, s.c);
      pixel = s.c, first = block.first, last = block.last;
      in_begin = block.row * s.in() * s.c, out_begin = block.row * s.out() * s.c;
    }
  }

  static Plan plan(const MaxUnpool2dShape& s) {
    Plan plan;
    plan.tasks[0] = s.layout == Layout::nchw ? s.n * s.c : s.n * channel_blocks(s.c);
    return plan;
  }
};

struct MaxUnpool2dScatter {
  static Plan plan(const MaxUnpool2dShape& s, int) { return UnpooledPlanes::plan(s); }

  static void run(const MaxUnpool2dShape& s, const Plan&, const MaxUnpool2dOperands<float>& o,
                  const Slice& slice) {
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const UnpooledPlanes p(s, task);
      float* const y = o.to + p.out_begin;
      if (p.last - p.first == p.pixel) {
        fill_zero(y, s.out() * p.pixel);
      } else {
        for (int64_t i = 0; i < s.out(); ++i)
          fill_zero(y + i * p.pixel + p.first, p.last - p.first);
      }
      for (int64_t i = 0; i < s.in(); ++i) {
        const int64_t at = p.in_begin + i * p.pixel;
        for (int64_t c = p.first; c < p.last; ++c) {
          const int64_t index = o.indices[at + c];
          if (index >= 0 && index < s.out()) {
            y[index * p.pixel + c] = o.from[at + c];
          } else {
            __atomic_store_n(o.invalid, index, __ATOMIC_RELAXED);  // of any thread
          }
        }
      }
    }
  }
};

struct MaxUnpool2dGather {
  static Plan plan(const MaxUnpool2dShape& s, int) { return UnpooledPlanes::plan(s); }

  static void run(const MaxUnpool2dShape& s, const Plan&, const MaxUnpool2dOperands<float>& o,
                  const Slice& slice) {
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const UnpooledPlanes p(s, task);
      const float* const dy = o.from + p.out_begin;
      for (int64_t i = 0; i < s.in(); ++i) {
        const int64_t at = p.in_begin + i * p.pixel;
        for (int64_t c = p.first; c < p.last; ++c) {
          const int64_t index = o.indices[at + c];
          const bool inside = index >= 0 && index < s.out();
          o.to[at + c] = inside ? dy[index * p.pixel + c] : 0.0f;
        }
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
