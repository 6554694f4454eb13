// SPDX-License-Identifier: BSD-3-Clause
// Runs kernels on torch's own thread pool, so that torch.set_num_threads governs us and ATen alike.
#pragma once

#include <torch/csrc/stable/ops.h>

#include "common/kernel/run.h"
#include "common/kernel/scratch.h"

namespace cnnext {

// Calls body(i) for every i < count.
struct TorchThreads {
  template <class Body>
  void operator()(int64_t count, const Body& body) const {
    if (count <= 0) return;
    if (count == 1) return body(0);
    torch::stable::parallel_for(0, count, 1, [&body](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(i);
    });
  }
};

template <class K>
void run_on_torch_threads(const K& kernel, const typename K::Shape& shape, const Plan& plan,
                          const typename K::Operands& operands, int threads) {
  Scratch scratch;
  const auto reserve = [&scratch](int64_t bytes) { return scratch.reserve(bytes); };
  run_once(kernel, shape, plan, operands, threads, reserve, TorchThreads());
}

template <class K>
void run_on_torch_threads(const K& kernel, const typename K::Shape& shape,
                          const typename K::Operands& operands, int threads) {
  run_on_torch_threads(kernel, shape, kernel.plan(shape, threads), operands, threads);
}

inline int torch_threads() { return static_cast<int>(torch::stable::get_num_threads()); }

}  // namespace cnnext
