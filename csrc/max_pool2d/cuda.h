// SPDX-License-Identifier: BSD-3-Clause
// max_pool2d on CUDA, for float, double, Half and BFloat16; windows of any size.
#pragma once

#include "common/cuda/types.h"
#include "max_pool2d/max_pool2d.h"

namespace cnnext {

template <class T>
void max_pool2d_cuda(Pass pass, const MaxPool2dShape& shape, const MaxPool2dOperands<T>& operands,
                     cudaStream_t stream);

void max_pool2d_cuda_expand_offsets(const MaxPool2dShape& shape, const uint8_t* offsets,
                                    int64_t* indices, cudaStream_t stream);

}  // namespace cnnext
