// SPDX-License-Identifier: BSD-3-Clause
// roi_pool on vectors, whose lanes are channels: bins have all sizes and few positions, so that
// lanes along a row would stay empty.
//
// The bins of all boxes are found first, once for all channels. Then some channels of an image are
// copied side by side, which takes a part of L2 for the maps of detectors, and all boxes of that
// image are pooled from there, of which the copy holds the rows that any of them touches. So x is
// read once however much boxes overlap. A box's maxima are transposed on their way to y. Tasks are
// blocks of channels of an image or, where those are too few for the threads, of a part of the
// boxes.
#pragma once

#include "common/simd/simd.h"
#include "pooling/maximum.h"
#include "pooling/roi_pool.h"

namespace cnnext {
namespace {

template <int Lanes>
struct RoiPoolForward {
  using Operands = RoiPoolOperands<float>;

  static Plan plan(const RoiPoolShape& s, int threads) {
    Plan plan;
    const int64_t blocks = s.n * channel_blocks(s);
    const int64_t parts = even_parts(blocks, max(1, s.n_boxes), threads);
    plan.n_phases = 2;
    plan.tasks[0] = s.n_boxes;
    plan.tasks[1] = blocks * parts;
    plan.block[0] = parts;
    plan.shared_bytes = s.n_boxes * FoundBins::numbers(s) * static_cast<int64_t>(sizeof(int32_t));
    plan.chunk_bytes = kBlock * (s.plane() + 2 * s.bins()) * static_cast<int64_t>(sizeof(float));
    return plan;
  }

  static void run(const RoiPoolShape& s, const Plan& plan, const Operands& o, const Slice& slice) {
    int32_t* const found = reinterpret_cast<int32_t*>(slice.shared);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      if (slice.phase == 0) {
        find_bins(s, o.boxes + task * kBoxNumbers, found + task * FoundBins::numbers(s));
      } else {
        const int64_t parts = plan.block[0], part = task % parts;
        Pool pool{s, o, found, reinterpret_cast<float*>(slice.chunk), task / parts};
        pool.boxes(s.n_boxes * part / parts, s.n_boxes * (part + 1) / parts);
      }
    }
  }

 private:
  static constexpr int64_t kBlock = 16;  // channels: a cache line of a position

  static int64_t channel_blocks(const RoiPoolShape& s) { return ceil_div(s.c, kBlock); }

  // What is found of a box: the image, then first and last of the rows of each bin, then of the
  // columns.
  struct FoundBins {
    const int32_t *rows, *columns;
    int32_t image;

    FoundBins(const RoiPoolShape& s, const int32_t* found)
        : rows(found + 1), columns(rows + 2 * s.h_out), image(found[0]) {}

    static int64_t numbers(const RoiPoolShape& s) { return 1 + 2 * (s.h_out + s.w_out); }
  };

  static void find_bins(const RoiPoolShape& s, const float* box, int32_t* found) {
    const Box<float> b(s, box, static_cast<float>(s.spatial_scale));
    *found++ = static_cast<int32_t>(b.image);
    found = find_bins(b.rows, s.h_out, found);
    find_bins(b.columns, s.w_out, found);
  }

  static int32_t* find_bins(const BoxAxis<float>& axis, int64_t bins, int32_t* found) {
    for (int64_t i = 0; i < bins; ++i) {
      const WindowRange bin = axis.bin(i);
      *found++ = static_cast<int32_t>(bin.first);
      *found++ = static_cast<int32_t>(bin.last);
    }
    return found;
  }

  // A block of channels of an image, [position][channel], and behind it what a box becomes,
  // [bin][channel]: maxima and the bits of where they are.
  struct Pool {
    const RoiPoolShape& s;
    const Operands& o;
    const int32_t* found;
    float* x;
    int64_t block;

    void boxes(int64_t begin, int64_t end) const {
      int64_t top = s.h_in, bottom = 0;
      for (int64_t k = begin; k < end; ++k) {
        const FoundBins bins = of_box(k);
        if (bins.image != image()) continue;
        top = min(top, bins.rows[0]);
        bottom = max(bottom, bins.rows[2 * s.h_out - 1]);
      }
      load_rows(top, bottom);
      for (int64_t k = begin; k < end; ++k) {
        const FoundBins bins = of_box(k);
        if (bins.image != image()) continue;
        if (o.argmax == nullptr) {
          pool_box<false>(bins);
        } else {
          pool_box<true>(bins);
          store_box(positions(), k, reinterpret_cast<float*>(o.argmax));
        }
        store_box(maxima(), k, o.out);
      }
    }

   private:
    int64_t image() const { return block / channel_blocks(s); }
    int64_t channel() const { return block % channel_blocks(s) * kBlock; }
    int64_t channels() const { return min(kBlock, s.c - channel()); }
    float* maxima() const { return x + s.plane() * kBlock; }
    float* positions() const { return maxima() + s.bins() * kBlock; }

    FoundBins of_box(int64_t k) const { return {s, found + k * FoundBins::numbers(s)}; }

    void load_rows(int64_t top, int64_t bottom) const {
      const int64_t first = top * s.w_in, size = (bottom - top) * s.w_in;
      if (size <= 0) return;
      float* const to = x + first * kBlock;
      if (channels() < kBlock) fill_zero(to, size * kBlock);
      if (s.layout == Layout::nchw) {
        const float* from = o.in + (image() * s.c + channel()) * s.plane() + first;
        transpose_block<Lanes>(from, s.plane(), to, kBlock, channels(), size);
      } else {
        const float* from = o.in + (image() * s.plane() + first) * s.c + channel();
        for (int64_t p = 0; p < size; ++p) copy(to + p * kBlock, from + p * s.c, channels());
      }
    }

    void store_box(const float* bins, int64_t k, float* to) const {
      transpose_block<Lanes>(bins, kBlock, to + (k * s.c + channel()) * s.bins(), s.bins(),
                             s.bins(), channels());
    }

    template <bool kRecord>
    void pool_box(const FoundBins& bins) const {
      float *y = maxima(), *at = positions();
      for (int64_t i = 0; i < s.h_out; ++i) {
        const int64_t top = bins.rows[2 * i], bottom = bins.rows[2 * i + 1];
        for (int64_t j = 0; j < s.w_out; ++j, y += kBlock, at += kBlock) {
          const int64_t left = bins.columns[2 * j], right = bins.columns[2 * j + 1];
          for (int64_t lane = 0; lane < channels(); lane += Lanes) {
            pool_bin<kRecord>(top, bottom, left, right, lane, y + lane, at + lane);
          }
        }
      }
    }

    template <bool kRecord>
    void pool_bin(int64_t top, int64_t bottom, int64_t left, int64_t right, int64_t lane, float* y,
                  float* at) const {
      Maximum<Lanes> best;
      const bool empty = top >= bottom || left >= right;
      best.start(broadcast<Lanes>(empty ? 0.0f : -__FLT_MAX__), -1);
      for (int64_t h = top; h < bottom; ++h) {
        const float* row = x + h * s.w_in * kBlock + lane;
        for (int64_t w = left; w < right; ++w) {
          const f32<Lanes> candidate = load<Lanes>(row + w * kBlock);
          if constexpr (kRecord) {
            best.take_number(candidate, static_cast<int32_t>(h * s.w_in + w));
          } else {
            best.value = at_least<Lanes>(best.value, candidate);
          }
        }
      }
      best.store_value(y);
      if constexpr (kRecord) store<Lanes>(at, reinterpret_cast<f32<Lanes>>(best.offset));
    }
  };
};

}  // namespace
}  // namespace cnnext
