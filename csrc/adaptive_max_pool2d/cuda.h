// SPDX-License-Identifier: BSD-3-Clause
// adaptive_max_pool2d on CUDA, for float, double, Half and BFloat16.
#pragma once

#include "adaptive_max_pool2d/adaptive_max_pool2d.h"
#include "common/cuda/types.h"

namespace cnnext {

template <class T>
void adaptive_max_pool2d_cuda(Pass pass, const AdaptivePoolShape& shape,
                              const AdaptiveMaxPool2dOperands<T>& operands, cudaStream_t stream);

}  // namespace cnnext
