// SPDX-License-Identifier: BSD-3-Clause
// The gradient of roi_pool: each dy is added to the position that its bin recorded, box by box, so
// that sums have one order. Of a box, dy and positions of several channels are read in one go,
// whose planes stay in L2 meanwhile: a plane at a time would jump through both for few numbers.
// Tasks own such blocks of an image's channels, smaller ones where those are too few for the
// threads, and look through all boxes for those of the image. For channels_last, planes are in
// scratch and transposed at the end. There is nothing in it for wider vectors.
#pragma once

#include "common/simd/simd.h"
#include "pooling/roi_pool.h"

namespace cnnext {
namespace {

template <int Lanes>
struct RoiPoolScatter {
  using Operands = RoiPoolOperands<float>;

  static Plan plan(const RoiPoolShape& s, int threads) {
    Plan plan;
    int64_t& block = plan.block[0] = kLine;
    if (s.layout == Layout::nchw) {
      block = ceil_div(kLine, even_parts(s.n * ceil_div(s.c, kLine), kLine, threads));
    } else {
      plan.chunk_bytes = block * s.plane() * static_cast<int64_t>(sizeof(float));
    }
    plan.tasks[0] = s.n * ceil_div(s.c, block);
    return plan;
  }

  static void run(const RoiPoolShape& s, const Plan& plan, const Operands& o, const Slice& slice) {
    const int64_t block = plan.block[0], blocks = ceil_div(s.c, block);
    float* const scratch = reinterpret_cast<float*>(slice.chunk);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const int64_t image = task / blocks, first = task % blocks * block;
      const int64_t count = min(block, s.c - first);
      if (s.layout == Layout::nchw) {
        scatter(s, o, image, first, count, o.out + (image * s.c + first) * s.plane());
      } else {
        scatter(s, o, image, first, count, scratch);
        float* const dx = o.out + image * s.plane() * s.c + first;
        transpose_block<Lanes>(scratch, s.plane(), dx, s.c, count, s.plane());
      }
    }
  }

 private:
  static constexpr int64_t kLine = 16;  // channels of a cache line

  // `count` channels of an image from `first` on.
  static void scatter(const RoiPoolShape& s, const Operands& o, int64_t image, int64_t first,
                      int64_t count, float* planes) {
    const int64_t bins = s.bins(), plane = s.plane();
    fill_zero(planes, count * plane);
    for (int64_t k = 0; k < s.n_boxes; ++k) {
      if (static_cast<int64_t>(o.boxes[k * kBoxNumbers]) != image) continue;
      const float* dy = o.in + (k * s.c + first) * bins;
      const int32_t* argmax = o.argmax + (k * s.c + first) * bins;
      for (int64_t c = 0; c < count; ++c, dy += bins, argmax += bins) {
        float* const dx = planes + c * plane;
        for (int64_t bin = 0; bin < bins; ++bin) {
          // Positions that roi_pool did not record may point anywhere.
          if (argmax[bin] >= 0 && argmax[bin] < plane) dx[argmax[bin]] += dy[bin];
        }
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
