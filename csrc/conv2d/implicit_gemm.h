// SPDX-License-Identifier: BSD-3-Clause
// Convolution as one matrix product, any filter, stride and dilation, one group. The matrix of
// windows is never stored: blocks of it are packed right where they are multiplied. What is a row
// and what a column follows from the layout, so that vectors are those of the image.
//
// The zero border takes part in the sums, which is wrong only for Inf and NaN in the filter: the
// outputs at the border that such a filter has are then added up again without it.
#pragma once

#include "conv2d/implicit_gemm_channels_last.h"
#include "conv2d/implicit_gemm_nchw.h"

namespace cnnext {
namespace {

template <class Tile>
struct ImplicitGemm {
  static Plan plan(const Conv2dShape& s, int threads) {
    return s.layout == Layout::nchw ? ImplicitGemmNchw<Tile>::plan(s, threads)
                                    : ImplicitGemmChannelsLast<Tile>::plan(s, threads);
  }

  static void pack(const Conv2dShape& s, const Plan&, const Conv2dOperands<float>& o,
                   const Slice& slice) {
    ImplicitGemmChannelsLast<Tile>::pack(s, o, slice);
  }

  static void run(const Conv2dShape& s, const Plan& plan, const Conv2dOperands<float>& o,
                  const Slice& slice) {
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      float* const scratch = reinterpret_cast<float*>(slice.chunk);
      if (s.layout == Layout::nchw) {
        ImplicitGemmNchw<Tile>::run_task(s, o, plan, task, scratch);
      } else {
        ImplicitGemmChannelsLast<Tile>::run_task(
            s, o, plan, task, reinterpret_cast<const float*>(slice.packed), scratch);
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
