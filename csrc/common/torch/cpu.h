// SPDX-License-Identifier: BSD-3-Clause
// The CPU as the adapters (torch_adapter.h of each operator) see a device: which element types its
// kernels take, and how many threads they run on.
#pragma once

#include <string>

#include "common/kernel/machine.h"
#include "common/kernel/registry.h"
#include "common/torch/checks.h"
#include "common/torch/parallel.h"

namespace cnnext {

inline int num_threads_for(double macs) {
  return macs < rates(active_isa()).threaded_macs ? 1 : torch_threads();
}

class CpuDevice : public TensorMemory {
 public:
  explicit CpuDevice(const Tensor&) {}

  // Calls f(T()) with the element type of t.
  template <class F>
  static auto with_element_type(const Tensor& t, const F& f) {
    CNNEXT_CHECK(t.scalar_type() == ScalarType::Float || t.scalar_type() == ScalarType::Double,
                 "cnnext's CPU kernels take float32 and float64, but the operands have dtype ",
                 t.scalar_type());
    return t.scalar_type() == ScalarType::Float ? f(float()) : f(double());
  }

  template <class Op, template <class> class Operands, class T>
  void compute(Pass pass, const typename Op::Shape& s, const Operands<T>& o) const {
    const int threads = num_threads_for(Op::work(s));
    run_on_torch_threads(select<Op, T>(pass, s, threads), s, o, threads);
  }
};

// For each operator `<op>_kernels() -> str`, its registry.
template <class... Ops>
void define_kernel_lists(StableLibrary& m) {
  (m.def((std::string(Ops::kName) + "_kernels() -> str").c_str()), ...);
}
template <class... Ops>
void implement_kernel_lists(StableLibrary& m) {
  (m.impl((std::string(Ops::kName) + "_kernels").c_str(), TORCH_BOX(&list_kernels<Ops>)), ...);
}

}  // namespace cnnext
