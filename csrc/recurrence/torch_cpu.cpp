// SPDX-License-Identifier: BSD-3-Clause
// recurrence on the CPU, for torch.
#include "common/torch/cpu.h"
#include "recurrence/torch_adapter.h"
#include "recurrence/torch_lstm_cell.h"

namespace cnnext {
namespace {

struct Device : CpuDevice {
  static constexpr bool kMultipliesByAten = false;
  using CpuDevice::CpuDevice;
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  recurrence::define_operators(m);
  lstm_cell::define_operators(m);
  define_kernel_lists<Recurrence>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) {
  recurrence::implement_operators<Device>(m);
  lstm_cell::implement_operators<Device>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  implement_kernel_lists<Recurrence>(m);
}

}  // namespace cnnext
