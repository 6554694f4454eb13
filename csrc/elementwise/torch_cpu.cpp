// SPDX-License-Identifier: BSD-3-Clause
// The element-wise operators on the CPU, for torch.
#include "common/torch/cpu.h"
#include "elementwise/torch_adapter.h"
#include "elementwise/torch_dropout.h"

namespace cnnext {

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  elementwise::define_operators(m);
  elementwise::define_dropout(m);
#define CNNEXT_DEFINE_LIST(Op, op) define_kernel_lists<Op>(m);
  CNNEXT_FOR_ELEMENTWISE(CNNEXT_DEFINE_LIST)
  define_kernel_lists<Dropout>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) {
  elementwise::implement_operators<CpuDevice>(m);
  elementwise::implement_dropout<CpuDevice>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
#define CNNEXT_IMPLEMENT_LIST(Op, op) implement_kernel_lists<Op>(m);
  CNNEXT_FOR_ELEMENTWISE(CNNEXT_IMPLEMENT_LIST)
  implement_kernel_lists<Dropout>(m);
}

}  // namespace cnnext
