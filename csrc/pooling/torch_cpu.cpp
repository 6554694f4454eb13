// SPDX-License-Identifier: BSD-3-Clause
// The pools on the CPU, for torch.
#include "common/torch/cpu.h"
#include "pooling/torch_adapter.h"
#include "pooling/torch_max_unpool2d.h"
#include "pooling/torch_roi_pool.h"

namespace cnnext {
namespace {

struct Device : CpuDevice {
  using CpuDevice::CpuDevice;

  void expand_offsets(const MaxPool2dShape& s, const uint8_t* offsets, int64_t* indices) const {
    max_pool2d_expand_offsets(s, offsets, indices);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  pooling::define_operators(m);
  pooling::define_max_unpool2d(m);
  pooling::define_roi_pool(m);
  define_kernel_lists<AvgPool2d, AdaptiveAvgPool2d, MaxPool2d, AdaptiveMaxPool2d, MaxUnpool2d,
                      RoiPool>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) {
  pooling::implement_operators<Device>(m);
  pooling::implement_max_unpool2d<Device>(m);
  pooling::implement_roi_pool<Device>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  implement_kernel_lists<AvgPool2d, AdaptiveAvgPool2d, MaxPool2d, AdaptiveMaxPool2d, MaxUnpool2d,
                         RoiPool>(m);
}

}  // namespace cnnext
