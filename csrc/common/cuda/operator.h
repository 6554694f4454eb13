// SPDX-License-Identifier: BSD-3-Clause
// The passes of operators on a GPU.
#pragma once

#include "common/cuda/types.h"
#include "common/kernel/kernel.h"

namespace cnnext {

// Starts a pass of the operator Op (common/kernel/registry.h) on elements of type T.
template <class Op, class T>
void launch(Pass pass, const typename Op::Shape& shape,
            const typename Op::template Operands<T>& operands, cudaStream_t stream);

// Defines that for all element types, as function(pass, shape, operands, stream).
#define CNNEXT_LAUNCH_TYPE(Op, T, function)                                              \
  template <>                                                                            \
  void launch<Op, T>(Pass pass, const Op::Shape& shape, const Op::Operands<T>& operands, \
                     cudaStream_t stream) {                                              \
    function(pass, shape, operands, stream);                                             \
  }
#define CNNEXT_LAUNCH(Op, function)        \
  CNNEXT_LAUNCH_TYPE(Op, float, function)  \
  CNNEXT_LAUNCH_TYPE(Op, double, function) \
  CNNEXT_LAUNCH_TYPE(Op, Half, function)   \
  CNNEXT_LAUNCH_TYPE(Op, BFloat16, function)

}  // namespace cnnext
