// SPDX-License-Identifier: BSD-3-Clause
// linear on the CPU, for torch.
#include "common/torch/cpu.h"
#include "linear/torch_adapter.h"

namespace cnnext {
namespace {

struct Device {
  static void compute(Pass pass, const LinearShape& s, const linear::Tensors& t) {
    const Tensor first = dense(t.first), second = dense(t.second);
    std::optional<Tensor> bias;
    if (t.bias.has_value()) bias = dense(*t.bias);
    CpuDevice::with_element_type(t.result, [&](auto zero) {
      using T = decltype(zero);
      const CpuDevice cpu(t.result);
      LinearOperands<T> o{cpu.read<T>(first), cpu.read<T>(second), {}, cpu.write<T>(t.result)};
      o.epilogue.bias = cpu.read<T>(bias);
      cpu.compute<Linear>(pass, s, o);
    });
  }
};

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  linear::define_operators(m);
  define_kernel_lists<Linear>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) { linear::implement_operators<Device>(m); }

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  implement_kernel_lists<Linear>(m);
}

}  // namespace cnnext
