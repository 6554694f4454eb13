// SPDX-License-Identifier: BSD-3-Clause
// adaptive_max_pool2d as its contract says it: the oracle, and the float64 path.
#include "adaptive_max_pool2d/adaptive_max_pool2d.h"
#include "pooling/maximum_reference.h"

namespace cnnext {
namespace {

template <class T>
struct Forward {
  static Plan plan(const AdaptivePoolShape& s, int) { return one_task_a_plane(s); }

  static void run(const AdaptivePoolShape& s, const Plan&, const AdaptiveMaxPool2dOperands<T>& o,
                  const Slice& slice) {
    const PlaneIndex x{s.c, s.h_in, s.w_in, s.layout}, y{s.c, s.h_out, s.w_out, s.layout};
    const AdaptiveAxis rows = s.rows(), columns = s.columns();
    for (int64_t plane = slice.begin; plane < slice.end; ++plane) {
      for (int64_t i = 0; i < s.h_out; ++i) {
        const Window row = rows.window(i);
        for (int64_t j = 0; j < s.w_out; ++j) {
          const Window column = columns.window(j);
          int64_t best_position = row.first * s.w_in + column.first;
          T best = o.in[x(plane, row.first, column.first)];
          for (int64_t h = row.first; h < row.last; ++h) {
            for (int64_t w = column.first; w < column.last; ++w) {
              const T v = o.in[x(plane, h, w)];
              if (v > best || v != v) {
                best = v;
                best_position = h * s.w_in + w;
              }
            }
          }
          const int64_t at = y(plane, i, j);
          o.out[at] = best;
          if (o.indices != nullptr) o.indices[at] = best_position;
        }
      }
    }
  }
};

template <class T>
struct BackwardInput {
  static Plan plan(const AdaptivePoolShape& s, int) { return one_task_a_plane(s); }

  static void run(const AdaptivePoolShape& s, const Plan&, const AdaptiveMaxPool2dOperands<T>& o,
                  const Slice& slice) {
    for (int64_t plane = slice.begin; plane < slice.end; ++plane) {
      scatter_plane(s, plane, o, [&](int64_t, int64_t, int64_t at) { return o.indices[at]; });
    }
  }
};

}  // namespace

#define CNNEXT_KERNELS "adaptive_max_pool2d/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
