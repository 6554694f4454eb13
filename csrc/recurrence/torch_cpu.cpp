// SPDX-License-Identifier: BSD-3-Clause
// recurrence on the CPU, for torch.
#include "common/torch/cpu.h"
#include "recurrence/select.h"
#include "recurrence/torch_adapter.h"

namespace cnnext {
namespace {

struct Device : CpuDevice {
  using CpuDevice::CpuDevice;

  template <class T>
  void forward(const RecurrenceShape& s, const recurrence::Inputs& in,
               RecurrenceOperands<T> o) const {
    o.x = read<T>(in.x);
    o.h0 = read<T>(in.h0);
    o.c0 = read<T>(in.c0);
    o.w_ih = read<T>(in.w_ih);
    o.w_hh = read<T>(in.w_hh);
    o.b_ih = read<T>(in.b_ih);
    o.b_hh = read<T>(in.b_hh);
    run(Pass::forward, s, o);
  }

  template <class T>
  void backward(const RecurrenceShape& s, const RecurrenceOperands<T>& o) const {
    run(Pass::backward, s, o);
  }

 private:
  template <class T>
  static void run(Pass pass, const RecurrenceShape& s, const RecurrenceOperands<T>& o) {
    const int threads = num_threads_for(s.macs());
    run_on_torch_threads(select_recurrence<T>(pass, s, threads), s, o, threads);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  recurrence::define_operators(m);
  m.def("recurrence_kernels() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) { recurrence::implement_operators<Device>(m); }

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  m.impl("recurrence_kernels", TORCH_BOX(&list_recurrence_kernels));
}

}  // namespace cnnext
