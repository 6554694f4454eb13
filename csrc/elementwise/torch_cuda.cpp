// SPDX-License-Identifier: BSD-3-Clause
// The element-wise operators on CUDA, for torch.
#include "common/torch/cuda.h"
#include "elementwise/torch_adapter.h"

namespace cnnext {

CNNEXT_CUDA_OPERATORS(m) { elementwise::implement_operators<CudaDevice>(m); }

}  // namespace cnnext
