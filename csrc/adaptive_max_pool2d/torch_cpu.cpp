// SPDX-License-Identifier: BSD-3-Clause
// adaptive_max_pool2d on the CPU, for torch.
#include "adaptive_max_pool2d/torch_adapter.h"
#include "common/torch/cpu.h"

namespace cnnext {
namespace {

struct Device : CpuDevice {
  using CpuDevice::CpuDevice;

  template <class T>
  void compute(Pass pass, const AdaptivePoolShape& s, const AdaptiveMaxPool2dOperands<T>& o) const {
    const int threads = num_threads_for(s.work());
    run_on_torch_threads(select<AdaptiveMaxPool2d, T>(pass, s, threads), s, o, threads);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  adaptive_max_pool2d::define_operators(m);
  define_kernel_lists<AdaptiveMaxPool2d>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) { adaptive_max_pool2d::implement_operators<Device>(m); }

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  implement_kernel_lists<AdaptiveMaxPool2d>(m);
}

}  // namespace cnnext
