// SPDX-License-Identifier: BSD-3-Clause
// max_pool2d on the CPU, for torch.
#include "common/torch/cpu.h"
#include "max_pool2d/torch_adapter.h"

namespace cnnext {
namespace {

struct Device : CpuDevice {
  using CpuDevice::CpuDevice;

  template <class T>
  void compute(Pass pass, const MaxPool2dShape& s, const MaxPool2dOperands<T>& o) const {
    const int threads =
        num_threads_for(static_cast<double>(s.n * s.c * s.h_out * s.w_out * s.window()));
    run_on_torch_threads(select<MaxPool2d, T>(pass, s, threads), s, o, threads);
  }

  void expand_offsets(const MaxPool2dShape& s, const uint8_t* offsets, int64_t* indices) const {
    max_pool2d_expand_offsets(s, offsets, indices);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  max_pool2d::define_operators(m);
  define_kernel_lists<MaxPool2d>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) { max_pool2d::implement_operators<Device>(m); }

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  implement_kernel_lists<MaxPool2d>(m);
}

}  // namespace cnnext
