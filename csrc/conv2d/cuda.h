// SPDX-License-Identifier: BSD-3-Clause
// conv2d on CUDA: any stride, padding, dilation and groups, all passes, both layouts; float,
// double, Half and BFloat16, the last two added up in float. Sums are added in an order that the
// shape alone decides, and every result is rounded once.
#pragma once

#include "common/cuda/types.h"
#include "conv2d/conv2d.h"

namespace cnnext {

// Elements of Accumulator<T> that the workspace of bwd_weight must have; the other passes need
// none.
int64_t conv2d_cuda_weight_workspace(const Conv2dShape& shape);

template <class T>
void conv2d_cuda(Pass pass, const Conv2dShape& shape, const Conv2dOperands<T>& operands,
                 Accumulator<T>* workspace, cudaStream_t stream);

// db[k] = the sum of dy[n,k,i,j] over n, i, j, with the workspace below.
int64_t conv2d_cuda_bias_workspace(const Conv2dShape& shape);

template <class T>
void conv2d_cuda_bias(const Conv2dShape& shape, const T* dy, T* db, Accumulator<T>* workspace,
                      cudaStream_t stream);

}  // namespace cnnext
