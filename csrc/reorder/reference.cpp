// SPDX-License-Identifier: BSD-3-Clause
// The operators of this folder as their formulas say it: the oracles.
#include "reorder/depth_windows.h"
#include "reorder/pad.h"
#include "reorder/reorder.h"
#include "reorder/shuffle.h"

namespace cnnext {
namespace {

Plan one_task() {
  Plan plan;
  plan.tasks[0] = 1;
  return plan;
}

template <class T>
struct ReorderReference {
  static Plan plan(const ReorderShape&, int) { return one_task(); }

  static void run(const ReorderShape& s, const Plan&, const ReorderOperands<T>& o, const Slice&) {
    for (int64_t n = 0; n < s.n; ++n) {
      for (int64_t c = 0; c < s.c; ++c) {
        for (int64_t p = 0; p < s.pixels; ++p) {
          o.y[at(s, s.to, s.y_pixel, n, c, p)] = o.x[at(s, s.from, s.x_pixel, n, c, p)];
        }
      }
    }
  }

 private:
  static int64_t at(const ReorderShape& s, Layout layout, int64_t pixel, int64_t n, int64_t c,
                    int64_t p) {
    return layout == Layout::nchw ? (n * s.c + c) * s.pixels + p : (n * s.pixels + p) * pixel + c;
  }
};

template <class T>
struct PadReference {
  static Plan plan(const PadShape&, int) { return one_task(); }

  static void run(const PadShape& s, const Plan&, const PadOperands<T>& o, const Slice&) {
    for (int64_t n = 0; n < s.n; ++n) {
      for (int64_t h = 0; h < s.h_out(); ++h) {
        for (int64_t w = 0; w < s.w_out(); ++w) {
          const int64_t i = h - s.top, j = w - s.left;
          const bool inside = i >= 0 && i < s.h_in && j >= 0 && j < s.w_in;
          for (int64_t c = 0; c < s.c; ++c) {
            o.y[((n * s.h_out() + h) * s.w_out() + w) * s.y_pixel + c] =
                inside ? o.x[((n * s.h_in + i) * s.w_in + j) * s.x_pixel + c] : T(0);
          }
        }
      }
    }
  }
};

template <class T>
struct ShuffleReference {
  static Plan plan(const ShuffleShape&, int) { return one_task(); }

  static void run(const ShuffleShape& s, const Plan&, const ShuffleOperands<T>& o, const Slice&) {
    const int64_t u = s.upscale;
    for (int64_t row = 0; row < s.n * s.h; ++row) {
      for (int64_t w = 0; w < s.w; ++w) {
        for (int64_t i = 0; i < s.rows; ++i) {
          for (int64_t j = 0; j < s.columns; ++j) {
            const int64_t pixel =
                u == 1 ? row * s.w + w : ((row * u + j / u) * s.w + w) * u + j % u;
            const int64_t channel = u == 1 ? j * s.rows + i : i;
            o.y[pixel * s.y_pixel + channel] = o.x[(row * s.w + w) * s.x_pixel + i * s.columns + j];
          }
        }
      }
    }
  }
};

// Calls f(from, to) for each pixel of y that is made of one of x, with their places, or with -1 for
// a pixel that is zero.
template <class F>
void each_of_windows(const DepthWindowsShape& s, const F& f) {
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t c = 0; c < s.c; ++c) {
      for (int64_t t = 0; t < s.taps; ++t) {
        for (int64_t i = 0; i < s.d_out(); ++i) {
          const int64_t d = i * s.stride - s.pad + t * s.dilation;
          const bool inside = d >= 0 && d < s.d_in;
          for (int64_t p = 0; p < s.pixels; ++p) {
            f(inside ? ((n * s.c + c) * s.d_in + d) * s.pixels + p : -1,
              (((n * s.d_out() + i) * s.c + c) * s.taps + t) * s.pixels + p);
          }
        }
      }
    }
  }
}

template <class T>
struct DepthWindowsReference {
  static Plan plan(const DepthWindowsShape&, int) { return one_task(); }

  static void run(const DepthWindowsShape& s, const Plan&, const DepthWindowsOperands<T>& o,
                  const Slice&) {
    each_of_windows(s, [&](int64_t x, int64_t y) { o.y[y] = x < 0 ? T(0) : o.x[x]; });
  }
};

template <class T>
struct DepthWindowsReferenceBackwardInput {
  static Plan plan(const DepthWindowsShape&, int) { return one_task(); }

  static void run(const DepthWindowsShape& s, const Plan&, const DepthWindowsOperands<T>& o,
                  const Slice&) {
    for (int64_t at = 0; at < s.n * s.c * s.d_in * s.pixels; ++at) o.y[at] = T(0);
    each_of_windows(s, [&](int64_t x, int64_t y) {
      if (x >= 0) o.y[x] += o.x[y];
    });
  }
};

}  // namespace

#define CNNEXT_KERNELS "reorder/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
