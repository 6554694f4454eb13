// SPDX-License-Identifier: BSD-3-Clause
// The pools on CUDA.
#include "common/cuda/operator.h"
#include "pooling/adaptive_avg_pool2d.h"
#include "pooling/avg_pool2d.h"
#include "pooling/cuda.h"
#include "pooling/cuda_adaptive_max_pool2d.h"
#include "pooling/cuda_average.h"
#include "pooling/cuda_max_pool2d.h"

namespace cnnext {

CNNEXT_LAUNCH(AvgPool2d, run_average)
CNNEXT_LAUNCH(AdaptiveAvgPool2d, run_average)
CNNEXT_LAUNCH(MaxPool2d, run_max_pool2d)
CNNEXT_LAUNCH(AdaptiveMaxPool2d, run_adaptive_max_pool2d)

void max_pool2d_cuda_expand_offsets(const MaxPool2dShape& s, const uint8_t* offsets,
                                    int64_t* indices, cudaStream_t stream) {
  with_walk(Pass::forward, s, [&](auto outputs, int64_t size) {
    launch_elements(&expand_offsets<outputs.layout>, size, stream, s, outputs, Divisor(s.k_w), size,
                    offsets, indices);
  });
}

}  // namespace cnnext
