// SPDX-License-Identifier: BSD-3-Clause
// Normalisations on the CPU, for torch.
#include "common/torch/cpu.h"
#include "normalization/torch_adapter.h"

namespace cnnext {

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  normalization::define_operators(m);
  define_kernel_lists<BatchNorm>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) { normalization::implement_operators<CpuDevice>(m); }

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  implement_kernel_lists<BatchNorm>(m);
}

}  // namespace cnnext
