// SPDX-License-Identifier: BSD-3-Clause
// adaptive_avg_pool2d on CUDA, for float, double, Half and BFloat16.
#pragma once

#include "adaptive_avg_pool2d/adaptive_avg_pool2d.h"
#include "common/cuda/types.h"

namespace cnnext {

template <class T>
void adaptive_avg_pool2d_cuda(Pass pass, const AdaptivePoolShape& shape,
                              const AverageOperands<T>& operands, cudaStream_t stream);

}  // namespace cnnext
