// SPDX-License-Identifier: BSD-3-Clause
// relu on CUDA, for float, double, Half and BFloat16.
#pragma once

#include "common/cuda/types.h"
#include "relu/relu.h"

namespace cnnext {

template <class T>
void relu_cuda(Pass pass, const ReluShape& shape, const ReluOperands<T>& operands,
               cudaStream_t stream);

}  // namespace cnnext
