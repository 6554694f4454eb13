// SPDX-License-Identifier: BSD-3-Clause
// The pools as their contracts say them, averages summed in double: the oracle, the float64 path,
// and the path of windows too large for a byte.
#include <limits>

#include "pooling/adaptive_avg_pool2d.h"
#include "pooling/adaptive_max_pool2d.h"
#include "pooling/avg_pool2d.h"
#include "pooling/max_pool2d.h"
#include "pooling/max_unpool2d.h"
#include "pooling/roi_pool.h"

namespace cnnext {
namespace {

// Where element (h, w) of plane `plane` = n*c + channel lies.
struct PlaneIndex {
  int64_t channels, height, width;
  Layout layout;
  int64_t operator()(int64_t plane, int64_t h, int64_t w) const {
    if (layout == Layout::nchw) return (plane * height + h) * width + w;
    const int64_t n = plane / channels, c = plane % channels;
    return ((n * height + h) * width + w) * channels + c;
  }
};

template <class Shape>
Plan one_task_a_plane(const Shape& s) {
  Plan plan;
  plan.tasks[0] = s.n * s.c;
  return plan;
}

// ---------------------------------------------------------------------------------------- averages

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

// ---------------------------------------------------------------------------------------- maxima

// The gradient of a plane's maxima: each dy is added to the position that was recorded.
// `position_of(i, j, at)` is that of output (i, j), which lies at `at`; one that no forward pass
// records may point anywhere, and is left out.
template <class Shape, class Operands, class PositionOf>
void scatter_plane(const Shape& s, int64_t plane, const Operands& o,
                   const PositionOf& position_of) {
  const PlaneIndex x{s.c, s.h_in, s.w_in, s.layout}, y{s.c, s.h_out, s.w_out, s.layout};
  for (int64_t h = 0; h < s.h_in; ++h) {
    for (int64_t w = 0; w < s.w_in; ++w) o.out[x(plane, h, w)] = 0;
  }
  for (int64_t i = 0; i < s.h_out; ++i) {
    for (int64_t j = 0; j < s.w_out; ++j) {
      const int64_t at = y(plane, i, j), position = position_of(i, j, at);
      if (position < 0 || position >= s.h_in * s.w_in) continue;
      o.out[x(plane, position / s.w_in, position % s.w_in)] += o.in[at];
    }
  }
}

int64_t plane_position(const MaxPool2dShape& s, int64_t i, int64_t j, int64_t offset) {
  const int64_t h = i * s.stride_h - s.pad_h + offset / s.k_w * s.dilation_h;
  const int64_t w = j * s.stride_w - s.pad_w + offset % s.k_w * s.dilation_w;
  return h * s.w_in + w;
}

template <class T>
struct MaxPool2dReference {
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
struct MaxPool2dReferenceBackwardInput {
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

template <class T>
struct AdaptiveMaxPool2dReference {
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
struct AdaptiveMaxPool2dReferenceBackwardInput {
  static Plan plan(const AdaptivePoolShape& s, int) { return one_task_a_plane(s); }

  static void run(const AdaptivePoolShape& s, const Plan&, const AdaptiveMaxPool2dOperands<T>& o,
                  const Slice& slice) {
    for (int64_t plane = slice.begin; plane < slice.end; ++plane) {
      scatter_plane(s, plane, o, [&](int64_t, int64_t, int64_t at) { return o.indices[at]; });
    }
  }
};

// ----------------------------------------------------------------------------------------
// unpooling

template <class T>
struct MaxUnpool2dReference {
  static Plan plan(const MaxUnpool2dShape& s, int) { return one_task_a_plane(s); }

  static void run(const MaxUnpool2dShape& s, const Plan&, const MaxUnpool2dOperands<T>& o,
                  const Slice& slice) {
    const PlaneIndex x{s.c, s.h_in, s.w_in, s.layout}, y{s.c, s.h_out, s.w_out, s.layout};
    for (int64_t plane = slice.begin; plane < slice.end; ++plane) {
      for (int64_t p = 0; p < s.out(); ++p) o.to[y(plane, p / s.w_out, p % s.w_out)] = 0;
      for (int64_t p = 0; p < s.in(); ++p) {
        const int64_t at = x(plane, p / s.w_in, p % s.w_in), index = o.indices[at];
        if (index >= 0 && index < s.out()) {
          o.to[y(plane, index / s.w_out, index % s.w_out)] = o.from[at];
        } else {
          __atomic_store_n(o.invalid, index, __ATOMIC_RELAXED);
        }
      }
    }
  }
};

template <class T>
struct MaxUnpool2dReferenceBackwardInput {
  static Plan plan(const MaxUnpool2dShape& s, int) { return one_task_a_plane(s); }

  static void run(const MaxUnpool2dShape& s, const Plan&, const MaxUnpool2dOperands<T>& o,
                  const Slice& slice) {
    const PlaneIndex x{s.c, s.h_in, s.w_in, s.layout}, y{s.c, s.h_out, s.w_out, s.layout};
    for (int64_t plane = slice.begin; plane < slice.end; ++plane) {
      for (int64_t p = 0; p < s.in(); ++p) {
        const int64_t at = x(plane, p / s.w_in, p % s.w_in), index = o.indices[at];
        const bool inside = index >= 0 && index < s.out();
        o.to[at] = inside ? o.from[y(plane, index / s.w_out, index % s.w_out)] : 0;
      }
    }
  }
};

// ------------------------------------------------------------------------------------------- boxes

template <class T>
struct RoiPoolReference {
  static Plan plan(const RoiPoolShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.n_boxes;
    return plan;
  }

  static void run(const RoiPoolShape& s, const Plan&, const RoiPoolOperands<T>& o,
                  const Slice& slice) {
    const PlaneIndex x{s.c, s.h_in, s.w_in, s.layout};
    const T scale = static_cast<T>(s.spatial_scale);
    for (int64_t k = slice.begin; k < slice.end; ++k) {
      const Box<T> box(s, o.boxes + k * kBoxNumbers, scale);
      for (int64_t i = 0; i < s.h_out; ++i) {
        const WindowRange row = box.rows.bin(i);
        for (int64_t j = 0; j < s.w_out; ++j) {
          const WindowRange column = box.columns.bin(j);
          const bool empty = row.first >= row.last || column.first >= column.last;
          for (int64_t c = 0; c < s.c; ++c) {
            T best = empty ? 0 : std::numeric_limits<T>::lowest();
            int64_t best_position = -1;
            for (int64_t h = row.first; h < row.last; ++h) {
              for (int64_t w = column.first; w < column.last; ++w) {
                const T v = o.in[x(box.image * s.c + c, h, w)];
                if (v > best) {
                  best = v;
                  best_position = h * s.w_in + w;
                }
              }
            }
            const int64_t at = ((k * s.c + c) * s.h_out + i) * s.w_out + j;
            o.out[at] = best;
            if (o.argmax != nullptr) o.argmax[at] = static_cast<int32_t>(best_position);
          }
        }
      }
    }
  }
};

template <class T>
struct RoiPoolReferenceBackwardInput {
  static Plan plan(const RoiPoolShape& s, int) { return one_task_a_plane(s); }

  static void run(const RoiPoolShape& s, const Plan&, const RoiPoolOperands<T>& o,
                  const Slice& slice) {
    const PlaneIndex x{s.c, s.h_in, s.w_in, s.layout};
    for (int64_t plane = slice.begin; plane < slice.end; ++plane) {
      for (int64_t p = 0; p < s.plane(); ++p) o.out[x(plane, p / s.w_in, p % s.w_in)] = 0;
      for (int64_t k = 0; k < s.n_boxes; ++k) {
        if (static_cast<int64_t>(o.boxes[k * kBoxNumbers]) != plane / s.c) continue;
        const int64_t first = (k * s.c + plane % s.c) * s.bins();
        for (int64_t at = first; at < first + s.bins(); ++at) {
          const int64_t p = o.argmax[at];
          if (p < 0 || p >= s.plane()) continue;
          o.out[x(plane, p / s.w_in, p % s.w_in)] += o.in[at];
        }
      }
    }
  }
};

}  // namespace

#define CNNEXT_KERNELS "pooling/kernels.inc"
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
