// SPDX-License-Identifier: BSD-3-Clause
// The matrices of Winograd's minimal filtering F(m, r): m outputs of a filter with r taps from
// m + r - 1 products (S. Winograd 1980; A. Lavin and S. Gray, "Fast algorithms for convolutional
// neural networks", 2016),
//
//   y = A^T [(G g) * (B^T d)]      d: m + r - 1 inputs, g: r taps, y: m outputs
//
// and, as this is bilinear in d and g, the gradient of the taps dg = G^T [(A dy) * (B^T d)],
// by the construction of Cook and Toom: evaluate the polynomials d and g at m + r - 2 points and at
// infinity, multiply, interpolate. Points of small size that come in pairs +p, -p keep rounding
// errors low and share half of the operations. With 0, +-5/8, +-3/2 the errors of F(4,3) are those
// of a sum in order, about a quarter of those of 0, +-1, +-2; all entries of B and A are exact.
// Scales are folded into G, which is applied least often.
#pragma once

#include "common/simd/simd.h"

namespace cnnext {
namespace {

// Functions are named by what they are applied to, and their results are returned in the second
// argument: input v = B^T d, filter u = G g, output y = A^T m, and the transposes of the last two.
template <int Outputs, int Taps>
struct Minimal;

// F(4,3) and F(2,5), the points 0, +-a, +-b and infinity.
struct SixPoints {
  static constexpr int kPoints = 6;
  static constexpr float a = 0.625f, a2 = a * a, a3 = a * a2, a4 = a2 * a2;
  static constexpr float b = 1.5f, b2 = b * b, b3 = b * b2, b4 = b2 * b2;
  // The scales of G: one over the product of a point's differences to the others.
  static constexpr float at_0 = static_cast<float>(256.0 / 225);
  static constexpr float at_a = static_cast<float>(-2048.0 / 2975);
  static constexpr float at_b = static_cast<float>(128.0 / 1071);

  template <int N>
  CNNEXT_INLINE static void input(const f32<N> (&d)[6], f32<N> (&v)[6]) {
    const f32<N> even_a = d[4] - b2 * d[2], odd_a = a * (d[3] - b2 * d[1]);
    const f32<N> even_b = d[4] - a2 * d[2], odd_b = b * (d[3] - a2 * d[1]);
    v[0] = (d[4] - (a2 + b2) * d[2]) + a2 * b2 * d[0];
    v[1] = even_a + odd_a;
    v[2] = even_a - odd_a;
    v[3] = even_b + odd_b;
    v[4] = even_b - odd_b;
    v[5] = (d[5] - (a2 + b2) * d[3]) + a2 * b2 * d[1];
  }
};

template <>
struct Minimal<4, 3> : SixPoints {
  template <int N>
  CNNEXT_INLINE static void filter(const f32<N> (&g)[3], f32<N> (&u)[6]) {
    const f32<N> even_a = at_a * g[0] + at_a * a2 * g[2], odd_a = at_a * a * g[1];
    const f32<N> even_b = at_b * g[0] + at_b * b2 * g[2], odd_b = at_b * b * g[1];
    u[0] = at_0 * g[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[2];
  }

  template <int N>
  CNNEXT_INLINE static void output(const f32<N> (&m)[6], f32<N> (&y)[4]) {
    const f32<N> sum_a = m[1] + m[2], difference_a = m[1] - m[2];
    const f32<N> sum_b = m[3] + m[4], difference_b = m[3] - m[4];
    y[0] = m[0] + sum_a + sum_b;
    y[1] = a * difference_a + b * difference_b;
    y[2] = a2 * sum_a + b2 * sum_b;
    y[3] = a3 * difference_a + (b3 * difference_b + m[5]);
  }

  template <int N>
  CNNEXT_INLINE static void output_transposed(const f32<N> (&y)[4], f32<N> (&m)[6]) {
    const f32<N> even_a = y[0] + a2 * y[2], odd_a = a * y[1] + a3 * y[3];
    const f32<N> even_b = y[0] + b2 * y[2], odd_b = b * y[1] + b3 * y[3];
    m[0] = y[0];
    m[1] = even_a + odd_a;
    m[2] = even_a - odd_a;
    m[3] = even_b + odd_b;
    m[4] = even_b - odd_b;
    m[5] = y[3];
  }

  template <int N>
  CNNEXT_INLINE static void filter_transposed(const f32<N> (&u)[6], f32<N> (&g)[3]) {
    const f32<N> sum_a = u[1] + u[2], difference_a = u[1] - u[2];
    const f32<N> sum_b = u[3] + u[4], difference_b = u[3] - u[4];
    g[0] = at_0 * u[0] + (at_a * sum_a + at_b * sum_b);
    g[1] = at_a * a * difference_a + at_b * b * difference_b;
    g[2] = at_a * a2 * sum_a + (at_b * b2 * sum_b + u[5]);
  }
};

template <>
struct Minimal<2, 5> : SixPoints {
  template <int N>
  CNNEXT_INLINE static void filter(const f32<N> (&g)[5], f32<N> (&u)[6]) {
    const f32<N> even_a = at_a * g[0] + at_a * a2 * g[2] + at_a * a4 * g[4];
    const f32<N> odd_a = at_a * a * g[1] + at_a * a3 * g[3];
    const f32<N> even_b = at_b * g[0] + at_b * b2 * g[2] + at_b * b4 * g[4];
    const f32<N> odd_b = at_b * b * g[1] + at_b * b3 * g[3];
    u[0] = at_0 * g[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[4];
  }

  template <int N>
  CNNEXT_INLINE static void output(const f32<N> (&m)[6], f32<N> (&y)[2]) {
    y[0] = m[0] + (m[1] + m[2]) + (m[3] + m[4]);
    y[1] = a * (m[1] - m[2]) + (b * (m[3] - m[4]) + m[5]);
  }

  template <int N>
  CNNEXT_INLINE static void output_transposed(const f32<N> (&y)[2], f32<N> (&m)[6]) {
    m[0] = y[0];
    m[1] = y[0] + a * y[1];
    m[2] = y[0] - a * y[1];
    m[3] = y[0] + b * y[1];
    m[4] = y[0] - b * y[1];
    m[5] = y[1];
  }

  template <int N>
  CNNEXT_INLINE static void filter_transposed(const f32<N> (&u)[6], f32<N> (&g)[5]) {
    const f32<N> sum_a = at_a * (u[1] + u[2]), difference_a = at_a * a * (u[1] - u[2]);
    const f32<N> sum_b = at_b * (u[3] + u[4]), difference_b = at_b * b * (u[3] - u[4]);
    g[0] = at_0 * u[0] + (sum_a + sum_b);
    g[1] = difference_a + difference_b;
    g[2] = a2 * sum_a + b2 * sum_b;
    g[3] = a2 * difference_a + b2 * difference_b;
    g[4] = a4 * sum_a + (b4 * sum_b + u[5]);
  }
};

// The points 0, +-1 and infinity.
template <>
struct Minimal<2, 3> {
  static constexpr int kPoints = 4;

  template <int N>
  CNNEXT_INLINE static void input(const f32<N> (&d)[4], f32<N> (&v)[4]) {
    v[0] = d[0] - d[2];
    v[1] = d[2] + d[1];
    v[2] = d[2] - d[1];
    v[3] = d[3] - d[1];
  }

  template <int N>
  CNNEXT_INLINE static void filter(const f32<N> (&g)[3], f32<N> (&u)[4]) {
    const f32<N> even = 0.5f * g[0] + 0.5f * g[2], odd = 0.5f * g[1];
    u[0] = g[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = g[2];
  }

  template <int N>
  CNNEXT_INLINE static void output(const f32<N> (&m)[4], f32<N> (&y)[2]) {
    y[0] = m[0] + (m[1] + m[2]);
    y[1] = m[1] - m[2] + m[3];
  }
};

}  // namespace
}  // namespace cnnext
