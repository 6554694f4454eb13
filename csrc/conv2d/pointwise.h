// SPDX-License-Identifier: BSD-3-Clause
// 1x1 convolution with stride 1, no padding and one group: matrix products in either layout,
// without moving the image.
//
//   channels_last  y[n h w, k] = x[n h w, c] w^T      one product, pixels are rows
//                  dw[k, c] = dy^T x
//   nchw           y_n[k, h w] = w x_n[c, h w]        one product an image, pixels are columns
//                  dw[k, c] = sum over n of dy_n x_n^T
#pragma once

#include "conv2d/conv2d.h"
#include "gemm/block.h"

namespace cnnext {
namespace {

template <class Tile, Pass kPass>
struct Pointwise {
  using Product = BlockedProduct<Tile>;

  static Plan plan(const Conv2dShape& s, int threads) {
    const MatrixProduct p = product(s, {}, 0);
    Plan plan = Product::plan(Product::blocking(p.m, p.n, products(s), threads), products(s));
    if (s.channels_contiguous()) plan.weights = Product::packed_b(p.n, p.k);
    return plan;
  }

  static void pack(const Conv2dShape& s, const Plan&, const Conv2dOperands<float>& o,
                   const Slice& slice) {
    Product::pack_b(product(s, o, 0), slice);
  }

  static void run(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    const auto b = Product::blocking(plan);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      MatrixProduct p = product(s, o, task / b.tasks());
      p.packed_b = reinterpret_cast<const float*>(slice.packed);
      Product::run_task(p, b, task % b.tasks(), reinterpret_cast<float*>(slice.chunk));
    }
  }

 private:
  static int64_t products(const Conv2dShape& s) { return s.channels_contiguous() ? 1 : s.n; }

  static MatrixProduct product(const Conv2dShape& s, const Conv2dOperands<float>& o,
                               int64_t index) {
    const bool forward = kPass == Pass::forward;
    const int64_t c = forward ? s.c_in : s.c_out, k = forward ? s.c_out : s.c_in;
    const int64_t w_c = o.w_strides[forward ? 1 : 0], w_k = o.w_strides[forward ? 0 : 1];
    const int64_t pixels = forward ? s.h_computed() * s.w_in : s.h_in * s.w_in;
    MatrixProduct p{};
    p.k = c;
    p.c = o.result;
    if (s.channels_contiguous()) {
      const int64_t first_row = s.y_rows.first * s.w_in;
      p.m = s.n * pixels;
      p.n = k;
      p.a_row = pixel_distance(o.first_pixel, c);
      p.a = o.first + first_row * p.a_row;
      p.a_k = 1;
      p.b = o.second;
      p.b_k = w_c;
      p.b_column = w_k;
      p.prologue = o.prologue;
      p.image_rows = pixels;
      p.epilogue = epilogue_of_pixels(o.epilogue, k).at(first_row, 0);
      p.c_row = pixel_distance(o.result_pixel, k);
      p.c += first_row * p.c_row;
    } else {
      p.m = k;
      p.n = pixels;
      p.a = o.second;
      p.a_row = w_k;
      p.a_k = w_c;
      p.b = o.first + index * c * pixels;
      p.b_k = pixels;
      p.b_column = 1;
      p.epilogue = epilogue_of_planes(o.epilogue, pixels);
      if (o.epilogue.residual != nullptr) p.epilogue.residual += index * k * pixels;
      p.c += index * k * pixels;
      p.c_row = pixels;
    }
    return p;
  }
};

template <class Tile>
struct PointwiseBackwardWeight {
  using Product = BlockedProduct<Tile>;

  static Plan plan(const Conv2dShape& s, int threads) {
    return Product::plan(Product::blocking(s.c_out, s.c_in, 1, threads), 1);
  }

  static void run(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    const auto b = Product::blocking(plan);
    const bool planes = !s.channels_contiguous();
    const int64_t pixels = s.h_in * s.w_in;
    MatrixProduct p{};
    p.m = s.c_out;
    p.n = s.c_in;
    p.k = planes ? pixels : s.n * pixels;
    p.a_row = planes ? pixels : 1;
    p.a_k = planes ? 1 : s.c_out;
    p.b_column = planes ? pixels : 1;
    p.b_k = planes ? 1 : s.c_in;
    p.c = o.result;
    p.c_row = o.w_strides[0];
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      for (int64_t image = 0; image < (planes ? s.n : 1); ++image) {
        p.a = o.first + image * s.c_out * pixels;
        p.b = o.second + image * s.c_in * pixels;
        p.accumulate = image > 0;
        Product::run_task(p, b, task, reinterpret_cast<float*>(slice.chunk));
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
