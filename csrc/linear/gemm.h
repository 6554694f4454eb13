// SPDX-License-Identifier: BSD-3-Clause
// The three passes of linear as blocked matrix products (gemm/block.h): they differ in strides
// only.
#pragma once

#include "gemm/block.h"
#include "linear/linear.h"

namespace cnnext {
namespace {

template <class Tile, Pass kPass>
struct LinearGemm {
  using Product = BlockedProduct<Tile>;

  static Plan plan(const LinearShape& s, int threads) {
    const MatrixProduct p = product(s, {});
    Plan plan = Product::plan(Product::blocking(p.m, p.n, 1, threads), 1);
    if (kPass != Pass::bwd_weight) plan.weights = Product::packed_b(p.n, p.k);
    return plan;
  }

  static void pack(const LinearShape& s, const Plan&, const LinearOperands<float>& o,
                   const Slice& slice) {
    Product::pack_b(product(s, o), slice);
  }

  static void run(const LinearShape& s, const Plan& plan, const LinearOperands<float>& o,
                  const Slice& slice) {
    MatrixProduct p = product(s, o);
    p.packed_b = reinterpret_cast<const float*>(slice.packed);
    const auto b = Product::blocking(plan);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      Product::run_task(p, b, task, reinterpret_cast<float*>(slice.chunk));
    }
  }

 private:
  static MatrixProduct product(const LinearShape& s, const LinearOperands<float>& o) {
    MatrixProduct p{};
    p.a = o.first;
    p.b = o.second;
    p.epilogue = epilogue_of_pixels(o.epilogue, s.n);
    p.c = o.result;
    if (kPass == Pass::forward) {
      p.m = s.m, p.n = s.n, p.k = s.k;
      p.a_row = o.x_pixel(s), p.a_k = 1;
      p.b_k = 1, p.b_column = s.k;
    } else if (kPass == Pass::bwd_input) {
      p.m = s.m, p.n = s.k, p.k = s.n;
      p.a_row = s.n, p.a_k = 1;
      p.b_k = s.k, p.b_column = 1;
    } else if (s.k == 1) {  // a single column lies in memory as a single row
      p.m = 1, p.n = s.n, p.k = s.m;
      p.a = o.second;
      p.b = o.first;
      p.a_row = s.m, p.a_k = 1;
      p.b_k = s.n, p.b_column = 1;
    } else {
      p.m = s.n, p.n = s.k, p.k = s.m;
      p.a_row = 1, p.a_k = s.n;
      p.b_k = s.k, p.b_column = 1;
    }
    p.c_row = pixel_distance(o.result_pixel, p.n);
    return p;
  }
};

}  // namespace
}  // namespace cnnext
