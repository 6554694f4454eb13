// SPDX-License-Identifier: BSD-3-Clause
// The epilogue as its formula says it: the oracle.
#include "common/kernel/reference_epilogue.h"
#include "epilogue/finish.h"

namespace cnnext {
namespace {

template <class T>
struct FinishReference {
  static Plan plan(const FinishShape&, int) {
    Plan plan;
    plan.tasks[0] = 1;
    return plan;
  }

  static void run(const FinishShape& s, const Plan&, const FinishOperands<T>& o, const Slice&) {
    const Epilogue<T>& e = o.epilogue;
    const auto at = [](const T* p, int64_t offset) { return p == nullptr ? p : p + offset; };
    for (int64_t i = 0; i < s.rows; ++i) {
      for (int64_t j = 0; j < s.columns; ++j) {
        o.y[i * s.columns + j] =
            finish_exactly(o.x[i * s.columns + j], at(e.bias, i * s.bias_row + j * s.bias_column),
                           at(e.residual, i * s.residual_row + j), e);
      }
    }
  }
};

}  // namespace

#define CNNEXT_KERNELS "epilogue/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
