// SPDX-License-Identifier: BSD-3-Clause
// avg_pool2d: see pooling/cuda_average.h.
#include "avg_pool2d/cuda.h"
#include "pooling/cuda_average.h"

namespace cnnext {

template <class T>
void avg_pool2d_cuda(Pass pass, const AvgPool2dShape& s, const AverageOperands<T>& o,
                     cudaStream_t stream) {
  run_average(pass, s, o, stream);
}

#define CNNEXT_INSTANTIATE(T)                                                              \
  template void avg_pool2d_cuda<T>(Pass, const AvgPool2dShape&, const AverageOperands<T>&, \
                                   cudaStream_t);
CNNEXT_FOR_CUDA_TYPES(CNNEXT_INSTANTIATE)

}  // namespace cnnext
