// SPDX-License-Identifier: BSD-3-Clause
// avg_pool2d on the CPU, for torch.
#include "avg_pool2d/torch_adapter.h"
#include "common/torch/cpu.h"

namespace cnnext {
namespace {

struct Device : CpuDevice {
  using CpuDevice::CpuDevice;

  template <class T>
  void compute(Pass pass, const AvgPool2dShape& s, const AverageOperands<T>& o) const {
    const int threads = num_threads_for(s.work());
    run_on_torch_threads(select<AvgPool2d, T>(pass, s, threads), s, o, threads);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  avg_pool2d::define_operators(m);
  define_kernel_lists<AvgPool2d>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) { avg_pool2d::implement_operators<Device>(m); }

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  implement_kernel_lists<AvgPool2d>(m);
}

}  // namespace cnnext
