// SPDX-License-Identifier: BSD-3-Clause
// lstm_cell on the CPU, for torch.
#include "common/torch/cpu.h"
#include "lstm_cell/select.h"
#include "lstm_cell/torch_adapter.h"

namespace cnnext {
namespace {

struct Device : CpuDevice {
  using CpuDevice::CpuDevice;

  template <class T>
  void forward(const LSTMCellShape& s, const lstm_cell::Inputs& in, LSTMCellOperands<T> o) const {
    o.x = read<T>(in.x);
    o.h = read<T>(in.h);
    o.c = read<T>(in.c);
    o.w_ih = read<T>(in.w_ih);
    o.w_hh = read<T>(in.w_hh);
    o.b_ih = read<T>(in.b_ih);
    o.b_hh = read<T>(in.b_hh);
    const int threads = num_threads_for(s.macs());
    run_on_torch_threads(select_lstm_cell<T>(Pass::forward, s, threads), s, o, threads);
  }

  template <class T>
  void backward(const LSTMCellShape& s, const LSTMCellOperands<T>& o) const {
    const int threads = num_threads_for(20.0 * static_cast<double>(s.batch * s.hidden));
    run_on_torch_threads(select_lstm_cell<T>(Pass::backward, s, threads), s, o, threads);
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  lstm_cell::define_operators(m);
  m.def("lstm_cell_kernels() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) { lstm_cell::implement_operators<Device>(m); }

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  m.impl("lstm_cell_kernels", TORCH_BOX(&list_lstm_cell_kernels));
}

}  // namespace cnnext
