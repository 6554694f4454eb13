// SPDX-License-Identifier: BSD-3-Clause
// The three passes as the formulas of conv2d.h say them, summed in double: the oracle for every
// other kernel, the float64 path, and the last resort of the selection.
#include "common/kernel/reference_epilogue.h"
#include "conv2d/conv2d.h"

namespace cnnext {
namespace {

// Element [n, c, h, w] of an activation.
struct Index {
  int64_t channels, height, width;
  Layout layout;
  int64_t pixel;  // as it is given; see pixel_distance
  int64_t operator()(int64_t n, int64_t c, int64_t h, int64_t w) const {
    return layout == Layout::nchw
               ? ((n * channels + c) * height + h) * width + w
               : ((n * height + h) * width + w) * pixel_distance(pixel, channels) + c;
  }
};

struct Indices {
  explicit Indices(const Conv2dShape& s, int64_t x_pixel = 0, int64_t y_pixel = 0)
      : x{s.c_in, s.h_in, s.w_in, s.x_layout(), x_pixel},
        y{s.c_out, s.h_out(), s.w_out(), s.layout, y_pixel},
        result{s.c_out, s.h_result(), s.w_result(), s.layout, y_pixel} {}
  Index x, y, result;  // the last of a forward pass
};

template <class T>
int64_t w_index(const Conv2dOperands<T>& o, int64_t k, int64_t c, int64_t r, int64_t s) {
  return k * o.w_strides[0] + c * o.w_strides[1] + r * o.w_strides[2] + s * o.w_strides[3];
}

Plan one_phase(int64_t tasks) {
  Plan plan;
  plan.tasks[0] = tasks;
  return plan;
}

template <class T>
struct Forward {
  static constexpr bool kPools = true;

  static Plan plan(const Conv2dShape& s, int) { return one_phase(s.n * s.c_out); }

  static void run(const Conv2dShape& s, const Plan&, const Conv2dOperands<T>& o,
                  const Slice& slice) {
    const Indices at(s, o.first_pixel, o.result_pixel);
    const int64_t side = s.pooled ? 2 : 1;
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const int64_t n = task / s.c_out, k = task % s.c_out;
      const int64_t rows = s.y_rows.count > 0 ? s.y_rows.count : s.h_result();
      for (int64_t i = s.y_rows.first; i < s.y_rows.first + rows; ++i) {
        for (int64_t j = 0; j < s.w_result(); ++j) {
          T result = output(s, at, o, n, k, i * side, j * side);
          for (int64_t p = 1; p < side * side; ++p) {
            const T y = output(s, at, o, n, k, i * side + p / side, j * side + p % side);
            if (y > result || y != y) result = y;
          }
          o.result[at.result(n, k, i, j)] = result;
        }
      }
    }
  }

 private:
  // What the epilogue makes of y[n, k, i, j].
  static T output(const Conv2dShape& s, const Indices& at, const Conv2dOperands<T>& o, int64_t n,
                  int64_t k, int64_t i, int64_t j) {
    const int64_t c0 = k / s.c_out_per_group() * s.c_in_per_group();
    double sum = 0;
    for (int64_t c = 0; c < s.c_in_per_group(); ++c) {
      for (int64_t r = 0; r < s.k_h; ++r) {
        const int64_t h = i * s.stride_h - s.pad_h + r * s.dilation_h;
        if (h < 0 || h >= s.h_in) continue;
        for (int64_t t = 0; t < s.k_w; ++t) {
          const int64_t w = j * s.stride_w - s.pad_w + t * s.dilation_w;
          if (w < 0 || w >= s.w_in) continue;
          sum += prepare_exactly(o.first[at.x(n, c0 + c, h, w)], o.prologue.at(n, c0 + c)) *
                 static_cast<double>(o.second[w_index(o, k, c, r, t)]);
        }
      }
    }
    const Epilogue<T>& e = o.epilogue;
    const T* residual = e.residual;
    if (residual != nullptr) {
      residual += s.layout == Layout::nchw ? at.y(n, k, i, j)
                                           : ((n * s.h_out() + i) * s.w_out() + j) *
                                                     pixel_distance(e.residual_pixel, s.c_out) +
                                                 k;
    }
    return finish_exactly(sum, e.bias == nullptr ? nullptr : e.bias + k, residual, e);
  }
};

template <class T>
struct BackwardInput {
  static Plan plan(const Conv2dShape& s, int) { return one_phase(s.n * s.c_in); }

  static void run(const Conv2dShape& s, const Plan&, const Conv2dOperands<T>& o,
                  const Slice& slice) {
    const Indices at(s);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const int64_t n = task / s.c_in, channel = task % s.c_in;
      const int64_t c = channel % s.c_in_per_group();
      const int64_t k0 = channel / s.c_in_per_group() * s.c_out_per_group();
      for (int64_t h = 0; h < s.h_in; ++h) {
        for (int64_t w = 0; w < s.w_in; ++w) {
          double sum = 0.0;
          for (int64_t r = 0; r < s.k_h; ++r) {
            const int64_t i = h + s.pad_h - r * s.dilation_h;
            if (i < 0 || i % s.stride_h != 0 || i / s.stride_h >= s.h_out()) continue;
            for (int64_t t = 0; t < s.k_w; ++t) {
              const int64_t j = w + s.pad_w - t * s.dilation_w;
              if (j < 0 || j % s.stride_w != 0 || j / s.stride_w >= s.w_out()) continue;
              for (int64_t k = k0; k < k0 + s.c_out_per_group(); ++k) {
                sum += static_cast<double>(o.first[at.y(n, k, i / s.stride_h, j / s.stride_w)]) *
                       static_cast<double>(o.second[w_index(o, k, c, r, t)]);
              }
            }
          }
          o.result[at.x(n, channel, h, w)] = static_cast<T>(sum);
        }
      }
    }
  }
};

template <class T>
struct BackwardWeight {
  static Plan plan(const Conv2dShape& s, int) { return one_phase(s.c_out * s.c_in_per_group()); }

  static void run(const Conv2dShape& s, const Plan&, const Conv2dOperands<T>& o,
                  const Slice& slice) {
    const Indices at(s);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const int64_t k = task / s.c_in_per_group(), c = task % s.c_in_per_group();
      const int64_t channel = k / s.c_out_per_group() * s.c_in_per_group() + c;
      for (int64_t r = 0; r < s.k_h; ++r) {
        for (int64_t t = 0; t < s.k_w; ++t) {
          double sum = 0.0;
          for (int64_t n = 0; n < s.n; ++n) {
            for (int64_t i = 0; i < s.h_out(); ++i) {
              const int64_t h = i * s.stride_h - s.pad_h + r * s.dilation_h;
              if (h < 0 || h >= s.h_in) continue;
              for (int64_t j = 0; j < s.w_out(); ++j) {
                const int64_t w = j * s.stride_w - s.pad_w + t * s.dilation_w;
                if (w < 0 || w >= s.w_in) continue;
                sum += static_cast<double>(o.first[at.y(n, k, i, j)]) *
                       static_cast<double>(o.second[at.x(n, channel, h, w)]);
              }
            }
          }
          o.result[w_index(o, k, c, r, t)] = static_cast<T>(sum);
        }
      }
    }
  }
};

}  // namespace

#define CNNEXT_KERNELS "conv2d/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
