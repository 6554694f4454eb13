// SPDX-License-Identifier: BSD-3-Clause
// relu on the CPU, for torch.
#include "common/torch/cpu.h"
#include "relu/select.h"
#include "relu/torch_adapter.h"

namespace cnnext {
namespace {

struct Device : CpuDevice {
  using CpuDevice::CpuDevice;

  template <class T>
  void compute(Pass pass, const ReluShape& s, const ReluOperands<T>& o) const {
    const int threads = num_threads_for(static_cast<double>(s.size));
    run_on_torch_threads(select_relu<T>(pass, s, threads), s, o, threads);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  relu::define_operators(m);
  m.def("relu_kernels() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) { relu::implement_operators<Device>(m); }

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  m.impl("relu_kernels", TORCH_BOX(&list_relu_kernels));
}

}  // namespace cnnext
