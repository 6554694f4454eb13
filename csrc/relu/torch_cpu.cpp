// SPDX-License-Identifier: BSD-3-Clause
// relu on the CPU, for torch.
#include "common/torch/cpu.h"
#include "relu/torch_adapter.h"

namespace cnnext {
namespace {

struct Device : CpuDevice {
  using CpuDevice::CpuDevice;

  template <class T>
  void compute(Pass pass, const ReluShape& s, const ReluOperands<T>& o) const {
    const int threads = num_threads_for(static_cast<double>(s.size));
    run_on_torch_threads(select<Relu, T>(pass, s, threads), s, o, threads);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  relu::define_operators(m);
  define_kernel_lists<Relu>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) { relu::implement_operators<Device>(m); }

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) { implement_kernel_lists<Relu>(m); }

}  // namespace cnnext
