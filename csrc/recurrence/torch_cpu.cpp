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

  template <class Op, class T>
  void compute(Pass pass, const RecurrenceShape& s, const RecurrenceOperands<T>& o) const {
    const int threads = num_threads_for(o.w_hh == nullptr ? gates_macs(s) : s.macs());
    run_on_torch_threads(select<Op, T>(pass, s, threads), s, o, threads);
  }

 private:
  // What the gates alone cost, in multiply-adds.
  static double gates_macs(const RecurrenceShape& s) {
    return 20.0 * static_cast<double>(s.rows * s.hidden);
  }
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
