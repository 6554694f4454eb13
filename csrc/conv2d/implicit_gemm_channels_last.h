// SPDX-License-Identifier: BSD-3-Clause
// Convolution of channels_last images as one matrix product:
//
//   y[(n h w), k] = p[(n h w), (tap, c)] w[(tap, c), k]
//
// where row i of p is the window of output pixel i: vectors of channels, from wherever its pixels
// are. A tile takes its rows also from several rows of a small image, and each is packed once for
// all channels that the block produces.
#pragma once

#include "conv2d/border.h"
#include "conv2d/conv2d.h"
#include "gemm/block.h"

namespace cnnext {
namespace {

template <class Tile>
struct ImplicitGemmChannelsLast {
  using Product = BlockedProduct<Tile>;
  static constexpr int64_t N = Tile::kLanes;

  static Plan plan(const Conv2dShape& s, int threads) {
    const int64_t pixels = s.n * s.h_out() * s.w_out();
    Plan plan = Product::plan(Product::blocking(pixels, s.c_out, 1, threads), 1);
    plan.weights = Product::packed_b(s.c_out, depth(s));
    plan.weights.order = "product panels of taps";
    plan.weights.bytes += 4 * plan.weights.tasks;
    plan.weights.complete = s.pad_h == 0 && s.pad_w == 0;  // else see sum_without_border
    return plan;
  }

  // Behind the panels, a number for each task tells whether they must not meet zeros of a border.
  static void pack(const Conv2dShape& s, const Conv2dOperands<float>& o, const Slice& slice) {
    float* const infinite = reinterpret_cast<float*>(slice.packed) + panels_floats(s);
    Product::for_each_group(
        s.c_out, depth(s), slice,
        [&](int64_t k0, int64_t steps, int64_t k, int64_t columns, float* panels) {
          pack_filter(s, o, k0, steps, k, columns, panels);
          infinite[group_of(s, k0, k)] =
              !all_finite<Tile::kLanes>(panels, round_up(columns, Tile::kColumns) * steps);
        });
  }

  static void run_task(const Conv2dShape& s, const Conv2dOperands<float>& o, const Plan& plan,
                       int64_t task, const float* packed, float* scratch) {
    MatrixProduct p{};
    p.epilogue = epilogue_of_pixels(o.epilogue, s.c_out);
    p.k = depth(s);
    p.c = o.result;
    p.c_row = o.y_pixel(s);
    const WindowsOfPixels windows(s, o);
    const bool border = s.pad_h > 0 || s.pad_w > 0;
    bool finite = true;
    const auto multiply = [&](const typename Product::Part& part) {
      const float* panels = scratch;
      if (packed != nullptr) {
        panels = packed + Product::packed_offset(s.c_out, part.k0, part.depth, part.g0);
        finite = finite && (!border || packed_are_finite(s, packed, part));
      } else {
        const int64_t columns = part.g1 - part.g0;
        pack_filter(s, o, part.k0, part.depth, part.g0, columns, scratch);
        const int64_t floats = round_up(columns, Tile::kColumns) * part.depth;
        finite = finite && (!border || all_finite<Tile::kLanes>(scratch, floats));
      }
      Product::multiply_packed_rows(p, windows, part, part.k0 > 0, panels, nullptr,
                                    scratch + Product::scratch_floats());
    };
    const int64_t rows = s.n * s.h_out() * s.w_out();
    Product::for_each_part(Product::blocking(plan), task, rows, s.c_out, depth(s), Product::kDepth,
                           multiply);
    if (finite) return;
    const auto range = Product::range(Product::blocking(plan), task, rows, s.c_out);
    sum_without_border<N>(s, o, {range.m0, range.m0 + range.rows}, {range.n0, range.n1});
  }

 private:
  static int64_t depth(const Conv2dShape& s) { return s.k_h * s.k_w * s.c_in; }
  static int64_t panels_floats(const Conv2dShape& s) {
    return depth(s) * round_up(s.c_out, Tile::kColumns);
  }
  // The task that packs column k of the steps from k0 on.
  static int64_t group_of(const Conv2dShape& s, int64_t k0, int64_t k) {
    return k0 / Product::kDepth * ceil_div(s.c_out, Product::kPackedColumns) +
           k / Product::kPackedColumns;
  }
  static bool packed_are_finite(const Conv2dShape& s, const float* packed,
                                const typename Product::Part& part) {
    const float* const infinite = packed + panels_floats(s);
    const int64_t first = group_of(s, part.k0, part.g0);
    const int64_t last = group_of(s, part.k0, part.g1 - 1);
    for (int64_t group = first; group <= last; ++group) {
      if (infinite[group] != 0) return false;
    }
    return true;
  }

  // The rows of p.
  struct WindowsOfPixels {
    const Conv2dShape& s;
    const float* x;
    int64_t x_pixel;
    int64_t step;  // from a window to the next
    Prologue<float> prologue;

    WindowsOfPixels(const Conv2dShape& shape, const Conv2dOperands<float>& o)
        : s(shape),
          x(o.first),
          x_pixel(o.x_pixel(s)),
          step(s.stride_w * x_pixel),
          prologue(o.prologue) {}

    struct Place {
      int64_t image, h, w;
    };
    Place place(int64_t i) const {
      const int64_t row = i / s.w_out();
      return {row / s.h_out(), row % s.h_out() * s.stride_h - s.pad_h,
              i % s.w_out() * s.stride_w - s.pad_w};
    }
    const float* pixel(int64_t image, int64_t h, int64_t w) const {
      return x + ((image * s.h_in + h) * s.w_in + w) * x_pixel;
    }

    // Near element k of row i, or of the last row.
    const float* at(int64_t i, int64_t k) const {
      const Place p = place(min(i, s.n * s.h_out() * s.w_out() - 1));
      const int64_t tap = k / s.c_in;
      const int64_t h = p.h + tap / s.k_w * s.dilation_h, w = p.w + tap % s.k_w * s.dilation_w;
      return pixel(p.image, max(0, min(h, s.h_in - 1)), max(0, min(w, s.w_in - 1))) + k % s.c_in;
    }

    void pack(int64_t i, int64_t count, int64_t k0, int64_t depth, float* packed) const {
      for (int64_t row = 0; row < count; ++row) {
        const Place p = place(i + row);
        float* to = packed + row * N;
        for (int64_t k = k0, run; k < k0 + depth; k += run) {
          const int64_t tap = k / s.c_in, c = k % s.c_in;
          run = min(s.c_in - c, k0 + depth - k);
          const int64_t h = p.h + tap / s.k_w * s.dilation_h, w = p.w + tap % s.k_w * s.dilation_w;
          const bool inside = h >= 0 && h < s.h_in && w >= 0 && w < s.w_in;
          const float* const from = inside ? pixel(p.image, h, w) + c : nullptr;
          float* const copied = to;
          for (int64_t done = 0; done < run; done += N, to += count * N) {
            store<N>(to, inside ? load<N>(from + done) : f32<N>{});
          }
          if (inside && prologue.exists()) {
            prepare<N>(prologue.at(p.image, c), 1, run, copied, 0, count * N);
          }
        }
      }
    }
  };

  // Panels of the output channels [k, k + columns), [first, first + depth) of (tap, c).
  static void pack_filter(const Conv2dShape& s, const Conv2dOperands<float>& o, int64_t first,
                          int64_t depth, int64_t k, int64_t columns, float* panels) {
    for (int64_t done = 0, run; done < depth; done += run) {
      const int64_t tap = (first + done) / s.c_in, c = (first + done) % s.c_in;
      run = min(s.c_in - c, depth - done);
      const float* const w = o.second + tap / s.k_w * o.w_strides[2] +
                             tap % s.k_w * o.w_strides[3] + c * o.w_strides[1] + k * o.w_strides[0];
      Product::pack_columns(w, o.w_strides[1], o.w_strides[0], run, columns,
                            panels + done * Tile::kColumns, depth);
    }
  }
};

}  // namespace
}  // namespace cnnext
