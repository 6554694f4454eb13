// SPDX-License-Identifier: BSD-3-Clause
// The operators whose CUDA adapters and kernels run on the engine.
#include "conv2d/torch_adapter.h"
#include "cuda_on_cpu/engine.h"
#include "elementwise/torch_adapter.h"
#include "linear/torch_adapter.h"
#include "pooling/torch_adapter.h"
#include "recurrence/torch_lstm_cell.h"

namespace cnnext {
namespace {

void set_seed(int64_t seed) { cuda_on_cpu::set_seed(static_cast<uint64_t>(seed)); }

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext_cuda_on_cpu, m) {
  conv2d::define_operators(m);
  elementwise::define_operators(m);
  linear::define_operators(m);
  lstm_cell::define_operators(m);
  pooling::define_operators(m);
  m.def("set_seed(int seed) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(cnnext_cuda_on_cpu, CompositeExplicitAutograd, m) {
  m.impl("set_seed", TORCH_BOX(&set_seed));
}

}  // namespace cnnext
