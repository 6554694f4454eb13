// SPDX-License-Identifier: BSD-3-Clause
// max_pool2d as its contract says it: the oracle, the float64 path, and the path of windows too
// large for a byte.
#include "max_pool2d/max_pool2d.h"
#include "pooling/maximum_reference.h"

namespace cnnext {
namespace {

int64_t plane_position(const MaxPool2dShape& s, int64_t i, int64_t j, int64_t offset) {
  const int64_t h = i * s.stride_h - s.pad_h + offset / s.k_w * s.dilation_h;
  const int64_t w = j * s.stride_w - s.pad_w + offset % s.k_w * s.dilation_w;
  return h * s.w_in + w;
}

template <class T>
struct Forward {
  static Plan plan(const MaxPool2dShape& s, int) { return one_task_a_plane(s); }

  static void run(const MaxPool2dShape& s, const Plan&, const MaxPool2dOperands<T>& o,
                  const Slice& slice) {
    const PlaneIndex x{s.c, s.h_in, s.w_in, s.layout}, y{s.c, s.h_out, s.w_out, s.layout};
    for (int64_t plane = slice.begin; plane < slice.end; ++plane) {
      for (int64_t i = 0; i < s.h_out; ++i) {
        const int64_t h0 = i * s.stride_h - s.pad_h;
        const TapRange rows = taps_inside(h0, s.k_h, s.dilation_h, s.h_in);
        for (int64_t j = 0; j < s.w_out; ++j) {
          const int64_t w0 = j * s.stride_w - s.pad_w;
          const TapRange columns = taps_inside(w0, s.k_w, s.dilation_w, s.w_in);
          int64_t best_offset = rows.first * s.k_w + columns.first;
          T best =
              o.in[x(plane, h0 + rows.first * s.dilation_h, w0 + columns.first * s.dilation_w)];
          for (int64_t r = rows.first; r < rows.last; ++r) {
            for (int64_t t = columns.first; t < columns.last; ++t) {
              const T v = o.in[x(plane, h0 + r * s.dilation_h, w0 + t * s.dilation_w)];
              if (v > best || v != v) {
                best = v;
                best_offset = r * s.k_w + t;
              }
            }
          }
          const int64_t at = y(plane, i, j);
          o.out[at] = best;
          if (s.record == Record::offsets) o.offsets[at] = static_cast<uint8_t>(best_offset);
          if (s.record == Record::indices) o.indices[at] = plane_position(s, i, j, best_offset);
        }
      }
    }
  }
};

template <class T>
struct BackwardInput {
  static Plan plan(const MaxPool2dShape& s, int) { return one_task_a_plane(s); }

  static void run(const MaxPool2dShape& s, const Plan&, const MaxPool2dOperands<T>& o,
                  const Slice& slice) {
    for (int64_t plane = slice.begin; plane < slice.end; ++plane) {
      scatter_plane(s, plane, o, [&](int64_t i, int64_t j, int64_t at) {
        return s.record == Record::offsets ? plane_position(s, i, j, o.offsets[at]) : o.indices[at];
      });
    }
  }
};

}  // namespace

#define CNNEXT_KERNELS "max_pool2d/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

void max_pool2d_expand_offsets(const MaxPool2dShape& s, const uint8_t* offsets, int64_t* indices) {
  const PlaneIndex y{s.c, s.h_out, s.w_out, s.layout};
  for (int64_t plane = 0; plane < s.n * s.c; ++plane) {
    for (int64_t i = 0; i < s.h_out; ++i) {
      for (int64_t j = 0; j < s.w_out; ++j) {
        const int64_t at = y(plane, i, j);
        indices[at] = plane_position(s, i, j, offsets[at]);
      }
    }
  }
}

}  // namespace cnnext
