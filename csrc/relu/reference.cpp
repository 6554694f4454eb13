// SPDX-License-Identifier: BSD-3-Clause
// relu as its contract says it: the oracle, and the float64 path.
#include "relu/relu.h"

namespace cnnext {
namespace {

Plan one_task() {
  Plan plan;
  plan.tasks[0] = 1;
  return plan;
}

template <class T>
struct Forward {
  static Plan plan(const ReluShape&, int) { return one_task(); }
  static void run(const ReluShape& s, const Plan&, const ReluOperands<T>& o, const Slice&) {
    for (int64_t i = 0; i < s.size; ++i) o.result[i] = o.first[i] < 0 ? T(0) : o.first[i];
  }
};

template <class T>
struct BackwardInput {
  static Plan plan(const ReluShape&, int) { return one_task(); }
  static void run(const ReluShape& s, const Plan&, const ReluOperands<T>& o, const Slice&) {
    for (int64_t i = 0; i < s.size; ++i) o.result[i] = o.second[i] <= 0 ? T(0) : o.first[i];
  }
};

}  // namespace

#define CNNEXT_KERNELS "relu/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
