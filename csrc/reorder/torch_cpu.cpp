// SPDX-License-Identifier: BSD-3-Clause
// depth_windows on the CPU, for torch.
#include "common/torch/cpu.h"
#include "reorder/torch_depth_windows.h"

namespace cnnext {

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  depth_windows::define_operators(m);
  define_kernel_lists<DepthWindows>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) { depth_windows::implement_operators<CpuDevice>(m); }

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  implement_kernel_lists<DepthWindows>(m);
}

}  // namespace cnnext
