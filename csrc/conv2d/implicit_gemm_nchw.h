// SPDX-License-Identifier: BSD-3-Clause
// Convolution of nchw images as one matrix product:
//
//   y[k, (n h w)] = w[k, (c, tap)] p[(c, tap), (n h w)]
//
// Filters are rows, which in torch's default order need no packing but that of a tile. Columns are
// the output pixels of all images side by side, so that small images fill whole panels too; where
// a panel ends one image and begins another, its sums pass through scratch.
//
//   for each group of columns, for k0 in steps of kDepth:
//     for each tap: find where its elements lie in a plane, then gather them from all channels
//     multiply the panels                                           -- c and p stay in L2
#pragma once

#include <limits>

#include "conv2d/border.h"
#include "conv2d/conv2d.h"
#include "gemm/block.h"

namespace cnnext {
namespace {

template <class Tile>
struct ImplicitGemmNchw {
  using Product = BlockedProduct<Tile>;
  static constexpr int64_t N = Tile::kLanes, kColumns = Tile::kColumns;
  static constexpr int64_t kPackingRows = 24;  // of the product cost as much as to gather a panel

  static Plan plan(const Conv2dShape& s, int threads) {
    const int64_t pixels = s.n * s.h_out() * s.w_out();
    Plan plan = Product::plan(Product::blocking(s.c_out, pixels, 1, threads, kPackingRows), 1);
    plan.chunk_bytes += sizeof(Scratch);
    return plan;
  }

  static void run_task(const Conv2dShape& s, const Conv2dOperands<float>& o, const Plan& plan,
                       int64_t task, float* scratch) {
    Scratch& own = *reinterpret_cast<Scratch*>(scratch + Product::scratch_bytes() / 4);
    bool finite = true;
    const FilterRows rows(s, o, &finite);
    const int64_t pixels = s.n * s.h_out() * s.w_out(), windows = s.c_in * s.k_h * s.k_w;
    const auto range = Product::range(Product::blocking(plan), task, s.c_out, pixels);
    for (int64_t g0 = range.n0; g0 < range.n1; g0 += group()) {
      const int64_t g1 = min(range.n1, g0 + group());
      find_windows(s, g0, g1 - g0, own);
      for (int64_t k0 = 0; k0 < windows; k0 += Product::kDepth) {
        const int64_t depth = min(Product::kDepth, windows - k0);
        const typename Product::Part part{range.m0, range.rows, k0, depth, g0, g1};
        pack_windows(s, o.first, part, own, scratch);
        Product::for_each_packed_tile(
            rows, part, scratch, nullptr, scratch + Product::scratch_floats(),
            [&](int64_t i, int64_t count, int64_t j, PackedOperands& operands) {
              multiply(s, o, k0 > 0, k0 + depth == windows, i, count, j, operands, rows.step, own);
            });
      }
    }
    if (!finite) {
      sum_without_border<N>(s, o, {range.n0, range.n1}, {range.m0, range.m0 + range.rows});
    }
  }

 private:
  // The columns whose panels, of kDepth each, fit the product's scratch.
  static constexpr int64_t kMaxGroup = kMaxL2 / 4 / (Product::kDepth * sizeof(float));
  static int64_t group() {
    return Product::scratch_floats() / (Product::kDepth * kColumns) * kColumns;
  }

  struct Scratch {
    // Where the window of each column begins: in the image, and from the first plane on.
    int32_t h[kMaxGroup], w[kMaxGroup], first[kMaxGroup];
    // The offsets of one tap from the plane of its channel, -1 for the border.
    int32_t offsets[kMaxGroup];
    bool adjacent[kMaxGroup / N];  // vectors whose offsets follow each other
    bool one_row[kMaxGroup / N];   // vectors whose windows lie side by side in a row of an image
    float sums[Tile::kMaxRows * kColumns];
  };

  // Filters as rows of (c, tap).
  struct FilterRows {
    const Conv2dShape& s;
    const Conv2dOperands<float>& o;
    int64_t step;  // from a filter to the next
    bool contiguous;
    bool* finite;

    FilterRows(const Conv2dShape& shape, const Conv2dOperands<float>& operands, bool* all_finite)
        : s(shape), o(operands), step(o.w_strides[0]), finite(all_finite) {
      contiguous = (s.k_w == 1 || o.w_strides[3] == 1) && (s.k_h == 1 || o.w_strides[2] == s.k_w) &&
                   (s.c_in == 1 || o.w_strides[1] == s.k_h * s.k_w);
    }

    // Element k of row i, or in filters of another order just one near it.
    const float* at(int64_t i, int64_t k) const { return o.second + i * step + k; }

    void pack(int64_t i, int64_t count, int64_t k0, int64_t depth, float* packed) const {
      if (contiguous) {
        typename Product::MatrixRows{o.second, step}.pack(i, count, k0, depth, packed);
      } else {
        for (int64_t row = 0; row < count; ++row) {
          for (int64_t k = 0; k < round_up(depth, N); ++k) {
            const int64_t tap = (k0 + k) % (s.k_h * s.k_w), c = (k0 + k) / (s.k_h * s.k_w);
            packed[(k / N * count + row) * N + k % N] =
                k < depth ? o.second[(i + row) * o.w_strides[0] + c * o.w_strides[1] +
                                     tap / s.k_w * o.w_strides[2] + tap % s.k_w * o.w_strides[3]]
                          : 0;
          }
        }
      }
      *finite = *finite && all_finite<N>(packed, count * round_up(depth, N));
    }
  };

  // Panels of the part's columns of p, [k0, k0 + depth) of (c, tap).
  static void pack_windows(const Conv2dShape& s, const float* x, const typename Product::Part& part,
                           Scratch& own, float* panels) {
    const int64_t taps = s.k_h * s.k_w, plane = s.h_in * s.w_in;
    const int64_t columns = round_up(part.g1 - part.g0, N);
    for (int64_t tap = 0; tap < taps; ++tap) {
      int64_t c = ceil_div(max(0, part.k0 - tap), taps);
      if (c * taps + tap >= part.k0 + part.depth) continue;
      find_offsets(s, tap, columns, own);
      for (; c * taps + tap < part.k0 + part.depth; ++c) {
        const float* const from = x + c * plane;
        float* const row = panels + (c * taps + tap - part.k0) * kColumns;
        for (int64_t j = 0; j < columns; j += N) {
          float* const to = row + j / kColumns * part.depth * kColumns + j % kColumns;
          const int32_t* const offsets = own.offsets + j;
          store<N>(to, own.adjacent[j / N] ? load<N>(from + offsets[0]) : gather<N>(from, offsets));
        }
      }
    }
  }

  // Columns [g0, g0 + count); those that fill up the last vector lie outside of any image.
  static void find_windows(const Conv2dShape& s, int64_t g0, int64_t count, Scratch& own) {
    const int64_t w_out = s.w_out(), h_out = s.h_out();
    int64_t j = g0 % w_out, i = g0 / w_out % h_out, image = g0 / (w_out * h_out);
    for (int64_t at = 0; at < count; ++at) {
      if (at % N == 0) own.one_row[at / N] = s.stride_w == 1 && at + N <= count && j + N <= w_out;
      const int64_t h = i * s.stride_h - s.pad_h, w = j * s.stride_w - s.pad_w;
      own.h[at] = static_cast<int32_t>(h);
      own.w[at] = static_cast<int32_t>(w);
      own.first[at] = static_cast<int32_t>((image * s.c_in * s.h_in + h) * s.w_in + w);
      if (++j < w_out) continue;
      j = 0;
      if (++i < h_out) continue;
      i = 0;
      ++image;
    }
    for (int64_t at = count; at < round_up(count, N); ++at) {
      own.h[at] = own.w[at] = std::numeric_limits<int32_t>::min();
      own.first[at] = 0;
    }
  }

  static void find_offsets(const Conv2dShape& s, int64_t tap, int64_t columns, Scratch& own) {
    const auto dh = static_cast<int32_t>(tap / s.k_w * s.dilation_h);
    const auto dw = static_cast<int32_t>(tap % s.k_w * s.dilation_w);
    const auto height = static_cast<uint32_t>(s.h_in), width = static_cast<uint32_t>(s.w_in);
    const auto distance = static_cast<int32_t>(dh * s.w_in + dw);
    for (int64_t j = 0; j < columns; j += N) {
      int32_t* const offsets = own.offsets + j;
      if (own.one_row[j / N] && static_cast<uint32_t>(own.h[j] + dh) < height &&
          own.w[j] + dw >= 0 && own.w[j + N - 1] + dw < s.w_in) {
        offsets[0] = own.first[j] + distance;
        own.adjacent[j / N] = true;
        continue;
      }
      int32_t outside = 0;  // negative if any is
      for (int lane = 0; lane < N; ++lane) {
        const bool inside = static_cast<uint32_t>(own.h[j + lane] + dh) < height &&
                            static_cast<uint32_t>(own.w[j + lane] + dw) < width;
        offsets[lane] = inside ? own.first[j + lane] + distance : -1;
        outside |= offsets[lane];
      }
      // Offsets of windows in their order ascend.
      own.adjacent[j / N] = outside >= 0 && offsets[N - 1] - offsets[0] == N - 1;
    }
  }

  // Filters [i, i + count), columns from j on.
  static void multiply(const Conv2dShape& s, const Conv2dOperands<float>& o, bool add, bool last,
                       int64_t i, int64_t count, int64_t j, PackedOperands& operands,
                       int64_t next_row, Scratch& own) {
    const int64_t plane = s.h_out() * s.w_out();
    const int64_t image = j / plane, pixel = j % plane;
    float* const y = o.result + (image * s.c_out + i) * plane + pixel;
    if (pixel + operands.columns <= plane) {
      operands.c = y;
      operands.init = add ? y : nullptr;
      const TileEpilogue epilogue = epilogue_at(s, o, y);
      operands.epilogue = last ? &epilogue : nullptr;
      multiply_packed_into<Tile>(count, operands, {plane, next_row});
      return;
    }
    // A run is what the panel has of an image.
    const auto for_each_run = [&](const auto& f) {
      int64_t at = pixel;
      float* row = y;
      for (int64_t done = 0, run; done < operands.columns; done += run, at = 0) {
        run = min(plane - at, operands.columns - done);
        for (int64_t r = 0; r < count; ++r) f(row + r * plane, own.sums + r * kColumns + done, run);
        row += s.c_out * plane - at;
      }
    };
    if (add) for_each_run([](float* in_y, float* sums, int64_t run) { copy(sums, in_y, run); });
    operands.c = own.sums;
    operands.init = add ? own.sums : nullptr;
    operands.epilogue = nullptr;
    multiply_packed_into<Tile>(count, operands, {kColumns, next_row});
    for_each_run([&](float* in_y, float* sums, int64_t run) {
      copy(in_y, sums, run);
      if (last) finish_rows<N>(in_y, 0, 1, run, epilogue_at(s, o, in_y));
    });
  }

  // That of the planes' rows which begin with this output.
  static TileEpilogue epilogue_at(const Conv2dShape& s, const Conv2dOperands<float>& o,
                                  const float* y) {
    const int64_t plane = s.h_out() * s.w_out(), index = y - o.result;
    TileEpilogue e = epilogue_of_planes(o.epilogue, plane);
    if (e.bias != nullptr) e.bias += index / plane % s.c_out;
    if (e.residual != nullptr) e.residual += index;
    return e;
  }
};

}  // namespace
}  // namespace cnnext
