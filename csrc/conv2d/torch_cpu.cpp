// SPDX-License-Identifier: BSD-3-Clause
// conv2d on the CPU, for torch.
#include "common/torch_cpu.h"

#include "conv2d/select.h"
#include "conv2d/torch_adapter.h"

namespace cnnext {
namespace {

struct Device : CpuDevice {
  using CpuDevice::CpuDevice;

  template <class T>
  void compute(Pass pass, const Conv2dShape& s, const Conv2dOperands<T>& o, const Tensor&) const {
    const int threads = useful_threads(s.macs());
    run_on_torch_threads(select_conv2d<T>(pass, s, threads), s, o, threads);
  }

  static Tensor bias_gradient(const Tensor& grad_output) {
    check_allocated(grad_output);
    const int64_t summed[] = {0, 2, 3};
    return torch::stable::sum(grad_output, torch::headeronly::IntHeaderOnlyArrayRef(summed, 3));
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  conv2d::define_operators(m);
  m.def("conv2d_kernels() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) { conv2d::implement_operators<Device>(m); }

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  m.impl("conv2d_kernels", TORCH_BOX(&list_conv2d_kernels));
}

}  // namespace cnnext
