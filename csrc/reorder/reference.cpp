// SPDX-License-Identifier: BSD-3-Clause
// Reordering as its formula says it: the oracle.
#include "reorder/reorder.h"

namespace cnnext {
namespace {

template <class T>
struct ReorderReference {
  static Plan plan(const ReorderShape&, int) {
    Plan plan;
    plan.tasks[0] = 1;
    return plan;
  }

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

}  // namespace

#define CNNEXT_KERNELS "reorder/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
