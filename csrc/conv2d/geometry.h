// SPDX-License-Identifier: BSD-3-Clause
// The geometry that conv2d's direct kernels share.
//
// Forward and input gradient are the same kind of sum, a gather. Along each axis, for i in a grid,
//
//   out[out_first + i*out_step] = sum over t of w[t] in[i*in_step + offset_first + t*offset_step]
//
// The forward pass is one gather. The input gradient of a strided convolution is one for each class
// of positions in dx (p mod stride): a class sees its own subset of the taps, and within it
// neighbours in dx read neighbours in dy. Taps are always numbered so that offsets ascend.
#pragma once

#include "common/kernel/kernel.h"
#include "common/kernel/machine.h"
#include "common/kernel/window.h"
#include "conv2d/conv2d.h"
#include "conv2d/filter.h"

namespace cnnext {
namespace {

struct GatherAxis {
  int64_t in_size, out_size;  // extents of the tensors
  int64_t grid;               // number of outputs
  int64_t out_first, out_step;
  int64_t in_step;
  int64_t taps, tap_first, tap_step;  // the filter taps used: tap_first + t * tap_step
  int64_t offset_first, offset_step;

  // Input positions that `count` neighbouring outputs span.
  CNNEXT_INLINE int64_t span(int64_t count) const {
    return taps == 0 ? 0 : (count - 1) * in_step + (taps - 1) * offset_step + 1;
  }
  // The taps of output i that meet the input, and not its zero border.
  CNNEXT_INLINE TapRange taps_inside_of(int64_t i) const {
    return taps_inside(i * in_step + offset_first, taps, max(1, offset_step), in_size);
  }
  CNNEXT_INLINE bool all_taps_inside_of(int64_t i) const {
    const TapRange inside = taps_inside_of(i);
    return inside.last - inside.first == taps;
  }
  // The outputs for which a tap does so.
  CNNEXT_INLINE TapRange outputs_inside_of(int64_t tap) const {
    return taps_inside(offset_first + tap * offset_step, grid, in_step, in_size);
  }
};

CNNEXT_INLINE GatherAxis forward_axis(int64_t in_size, int64_t out_size, int64_t kernel,
                                      int64_t stride, int64_t pad, int64_t dilation) {
  return {in_size, out_size, out_size, 0, 1, stride, kernel, 0, 1, -pad, dilation};
}

// `in_size` is dy's extent, `out_size` dx's; `phase` the class of positions in dx.
CNNEXT_INLINE GatherAxis backward_axis(int64_t in_size, int64_t out_size, int64_t kernel,
                                       int64_t stride, int64_t pad, int64_t dilation,
                                       int64_t phase) {
  GatherAxis axis{};
  axis.in_size = in_size;
  axis.out_size = out_size;
  axis.grid = phase < out_size ? ceil_div(out_size - phase, stride) : 0;
  axis.out_first = phase;
  axis.out_step = stride;
  axis.in_step = 1;
  // dy[i + (phase + pad - r*dilation) / stride] meets tap r wherever the division is exact.
  int64_t first = 0, step = 1;
  if (dilation == 1) {  // what follows finds the same, but by search
    first = min(kernel, (phase + pad) % stride);
    step = stride;
  }
  while (first < kernel && (phase + pad - first * dilation) % stride != 0) ++first;
  if (first == kernel) return axis;
  while (first + step < kernel && step * dilation % stride != 0) ++step;
  axis.taps = (kernel - 1 - first) / step + 1;
  axis.tap_first = first + (axis.taps - 1) * step;
  axis.tap_step = -step;
  axis.offset_first = (phase + pad - axis.tap_first * dilation) / stride;
  axis.offset_step = step * dilation / stride;
  return axis;
}

// One gather; channel counts are per group.
struct ConvGeometry {
  GatherAxis h, w;
  int64_t images, groups, c, k;         // c is summed over, k is produced
  Layout layout, in_layout;             // of what is written, and of what is read
  bool pooled;                          // then both grids are even
  int64_t in_pixel, out_pixel;          // pixel_distance of what is read and written
  int64_t w_group, w_k, w_c, w_h, w_w;  // strides of the filter
  int64_t filter_taps;                  // k_h * k_w, of which h.taps * w.taps are used

  CNNEXT_INLINE int64_t taps() const { return h.taps * w.taps; }
  // From one image to the next.
  CNNEXT_INLINE int64_t in_image() const { return in_pixel * h.in_size * w.in_size; }
  CNNEXT_INLINE int64_t out_image() const { return out_pixel * h.out_size * w.out_size; }

  // Whether some window reaches beyond the image to the left or right, into zeros of the packed
  // rows.
  CNNEXT_INLINE bool meets_border() const {
    return w.offset_first < 0 || w.offset_first + packed_w() > w.in_size;
  }

  // The packed rows (packed_rows.h) that `rows` rows of outputs read. They are those of the image,
  // or if filter rows are so far apart that there are rows between which none of them meets, a band
  // for each filter row.
  CNNEXT_INLINE int64_t band_rows(int64_t rows) const { return (rows - 1) * h.in_step + 1; }
  // From one filter row to the next, in packed rows.
  CNNEXT_INLINE int64_t tap_rows(int64_t rows) const { return min(h.offset_step, band_rows(rows)); }
  CNNEXT_INLINE int64_t packed_w() const { return w.span(w.grid); }
  CNNEXT_INLINE int64_t packed_rows_floats(int64_t rows) const {
    return h.taps == 0 ? 0 : (band_rows(rows) + (h.taps - 1) * tap_rows(rows)) * packed_w() * c;
  }

  // Rows of outputs, by halving, whose packed rows hold at most `floats` (or is of a single row).
  CNNEXT_INLINE int64_t rows_within(int64_t floats) const {
    int64_t rows = max(1, h.grid);
    while (rows > 1 && packed_rows_floats(rows) > floats) rows = ceil_div(rows, 2);
    return rows;
  }
  // As rows_within, but fewer where `planes` are too few to give every thread four blocks of rows.
  CNNEXT_INLINE int64_t rows_for_threads(int64_t floats, int64_t planes, int threads) const {
    constexpr int64_t kFewRows = 4;  // below, the rows that blocks share cost too much
    int64_t rows = rows_within(floats);
    while (rows > kFewRows && planes * ceil_div(h.grid, rows) < 4 * threads) {
      rows = ceil_div(rows, 2);
    }
    return rows;
  }
};

// Classes of positions, without those that a stride larger than dx leaves empty.
CNNEXT_INLINE int64_t phases_w(const Conv2dShape& s) { return min(s.stride_w, s.w_in); }

CNNEXT_INLINE int64_t geometry_count(const Conv2dShape& s, Pass pass) {
  return pass == Pass::forward ? 1 : min(s.stride_h, s.h_in) * phases_w(s);
}

CNNEXT_INLINE ConvGeometry make_geometry(const Conv2dShape& s, Pass pass,
                                         const Conv2dOperands<float>& o, int64_t index) {
  const int64_t (&w_strides)[4] = o.w_strides;
  ConvGeometry g;
  g.images = s.n;
  g.groups = s.groups;
  g.layout = s.layout;
  g.in_layout = s.x_layout();
  g.pooled = pass == Pass::forward && s.pooled;
  g.w_group = s.c_out_per_group() * w_strides[0];
  g.filter_taps = s.k_h * s.k_w;
  g.w_h = w_strides[2];
  g.w_w = w_strides[3];
  if (pass == Pass::forward) {
    g.h = forward_axis(s.h_in, s.h_used(), s.k_h, s.stride_h, s.pad_h, s.dilation_h);
    if (s.y_rows.count > 0) {
      g.h.grid = s.y_rows.count;
      g.h.out_first = s.y_rows.first;
      g.h.offset_first += s.y_rows.first * s.stride_h;
    }
    g.w = forward_axis(s.w_in, s.w_used(), s.k_w, s.stride_w, s.pad_w, s.dilation_w);
    g.c = s.c_in_per_group();
    g.k = s.c_out_per_group();
    g.w_k = w_strides[0];
    g.w_c = w_strides[1];
  } else {
    g.h = backward_axis(s.h_out(), s.h_in, s.k_h, s.stride_h, s.pad_h, s.dilation_h,
                        index / phases_w(s));
    g.w = backward_axis(s.w_out(), s.w_in, s.k_w, s.stride_w, s.pad_w, s.dilation_w,
                        index % phases_w(s));
    g.c = s.c_out_per_group();
    g.k = s.c_in_per_group();
    g.w_k = w_strides[1];
    g.w_c = w_strides[0];
  }
  g.in_pixel = pixel_distance(o.first_pixel, g.groups * g.c);
  g.out_pixel = pixel_distance(o.result_pixel, g.groups * g.k);
  return g;
}

// A slice's tasks of one gather: every slice has a part of every gather, because a task of the one
// may be several times the work of a task of the other.
struct Share {
  int64_t begin, end;
};

CNNEXT_INLINE Share share_of(int64_t tasks, const Slice& slice, int64_t all_tasks) {
  return {tasks * slice.begin / all_tasks, tasks * slice.end / all_tasks};
}

// A panel of output channels [k0, k0 + Tile::kColumns) of the gather's filter.
template <class Tile>
CNNEXT_INLINE FilterPanel<Tile> filter_panel(const ConvGeometry& g, int64_t k0) {
  const FilterTaps taps{g.h.taps,
                        g.w.taps,
                        g.h.tap_first * g.w_h,
                        g.w.tap_first * g.w_w,
                        g.h.tap_step * g.w_h,
                        g.w.tap_step * g.w_w};
  return {taps, g.c, min(Tile::kColumns, g.k - k0), g.w_c, g.w_k};
}

}  // namespace
}  // namespace cnnext
