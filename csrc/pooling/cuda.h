// SPDX-License-Identifier: BSD-3-Clause
// What pools have on CUDA beside the passes of their operators (common/cuda/operator.h).
#pragma once

#include "common/cuda/types.h"
#include "pooling/max_pool2d.h"

namespace cnnext {

void max_pool2d_cuda_expand_offsets(const MaxPool2dShape& shape, const uint8_t* offsets,
                                    int64_t* indices, cudaStream_t stream);

}  // namespace cnnext
