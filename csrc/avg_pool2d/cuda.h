// SPDX-License-Identifier: BSD-3-Clause
// avg_pool2d on CUDA, for float, double, Half and BFloat16.
#pragma once

#include "avg_pool2d/avg_pool2d.h"
#include "common/cuda/types.h"

namespace cnnext {

template <class T>
void avg_pool2d_cuda(Pass pass, const AvgPool2dShape& shape, const AverageOperands<T>& operands,
                     cudaStream_t stream);

}  // namespace cnnext
