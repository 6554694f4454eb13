// SPDX-License-Identifier: BSD-3-Clause
// adaptive_avg_pool2d: see pooling/cuda_average.h.
#include "adaptive_avg_pool2d/cuda.h"
#include "pooling/cuda_average.h"

namespace cnnext {

template <class T>
void adaptive_avg_pool2d_cuda(Pass pass, const AdaptivePoolShape& s, const AverageOperands<T>& o,
                              cudaStream_t stream) {
  run_average(pass, s, o, stream);
}

#define CNNEXT_INSTANTIATE(T)                                               \
  template void adaptive_avg_pool2d_cuda<T>(Pass, const AdaptivePoolShape&, \
                                            const AverageOperands<T>&, cudaStream_t);
CNNEXT_FOR_CUDA_TYPES(CNNEXT_INSTANTIATE)

}  // namespace cnnext
