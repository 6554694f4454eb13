// SPDX-License-Identifier: BSD-3-Clause
// Resampling as its formula says it: the oracle.
#include "resample/resample.h"

namespace cnnext {
namespace {

template <class T>
struct ResampleReference {
  static Plan plan(const ResampleShape&, int) {
    Plan plan;
    plan.tasks[0] = 1;
    return plan;
  }

  static void run(const ResampleShape& s, const Plan&, const ResampleOperands<T>& o, const Slice&) {
    const auto mean = [](double first, double second, float share) {
      return (1.0 - share) * first + share * second;
    };
    for (int64_t n = 0; n < s.n; ++n) {
      for (int64_t i = 0; i < s.h_out; ++i) {
        for (int64_t j = 0; j < s.w_out; ++j) {
          const Neighbours rows = resampled_row(i, s), columns = resampled_column(j, s);
          T* const y = o.y + ((n * s.h_out + i) * s.w_out + j) * s.y_pixel;
          for (int64_t c = 0; c < s.c; ++c) {
            const auto x = [&](int64_t row, int64_t column) {
              return o.x[((n * s.h_in + row) * s.w_in + column) * s.x_pixel + c];
            };
            const auto along = [&](int64_t row) {
              return mean(x(row, columns.first), x(row, columns.second), columns.share);
            };
            const bool is_copied = s.interpolation == Interpolation::nearest;
            y[c] = is_copied
                       ? x(rows.first, columns.first)
                       : static_cast<T>(mean(along(rows.first), along(rows.second), rows.share));
          }
        }
      }
    }
  }
};

}  // namespace

#define CNNEXT_KERNELS "resample/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
