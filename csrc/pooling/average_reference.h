// SPDX-License-Identifier: BSD-3-Clause
// The average pools as their contract says them, summed in double: the oracle and the float64 path.
#pragma once

#include "pooling/average.h"
#include "pooling/axis.h"
#include "pooling/plane.h"

namespace cnnext {
namespace {

template <class Shape, class T>
struct AverageReference {
  static Plan plan(const Shape& s, int) { return one_task_a_plane(s); }

  static void run(const Shape& s, const Plan&, const AverageOperands<T>& o, const Slice& slice) {
    const PlaneIndex x{s.c, s.h_in, s.w_in, s.layout}, y{s.c, s.h_out, s.w_out, s.layout};
    const auto rows = s.rows();
    const auto columns = s.columns();
    for (int64_t plane = slice.begin; plane < slice.end; ++plane) {
      for (int64_t i = 0; i < s.h_out; ++i) {
        const Window row = rows.window(i);
        for (int64_t j = 0; j < s.w_out; ++j) {
          const Window column = columns.window(j);
          double sum = 0;
          for (int64_t h = row.first; h < row.last; ++h) {
            for (int64_t w = column.first; w < column.last; ++w) sum += o.in[x(plane, h, w)];
          }
          o.out[y(plane, i, j)] =
              static_cast<T>(sum / divisor_of<double>(s.divisor_override, row, column));
        }
      }
    }
  }
};

template <class Shape, class T>
struct AverageReferenceBackwardInput {
  static Plan plan(const Shape& s, int) { return one_task_a_plane(s); }

  static void run(const Shape& s, const Plan&, const AverageOperands<T>& o, const Slice& slice) {
    const PlaneIndex x{s.c, s.h_in, s.w_in, s.layout}, y{s.c, s.h_out, s.w_out, s.layout};
    const auto rows = s.rows();
    const auto columns = s.columns();
    for (int64_t plane = slice.begin; plane < slice.end; ++plane) {
      for (int64_t h = 0; h < s.h_in; ++h) {
        const WindowRange is = rows.covering_windows(h);
        for (int64_t w = 0; w < s.w_in; ++w) {
          const WindowRange js = columns.covering_windows(w);
          double sum = 0;
          for (int64_t i = is.first; i < is.last; ++i) {
            for (int64_t j = js.first; j < js.last; ++j) {
              sum += o.in[y(plane, i, j)] /
                     divisor_of<double>(s.divisor_override, rows.window(i), columns.window(j));
            }
          }
          o.out[x(plane, h, w)] = static_cast<T>(sum);
        }
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
