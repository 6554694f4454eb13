// SPDX-License-Identifier: BSD-3-Clause
// Which relu kernel runs: a pure function of shape, ISA and threads (and of a forced name).
#pragma once

#include <string>
#include <vector>

#include "common/kernel/registry.h"
#include "relu/relu.h"

namespace cnnext {

template <class T>
using ReluKernel = Kernel<ReluShape, ReluOperands<T>>;

// T is float or double. Throws std::runtime_error if a forced kernel does not apply.
template <class T>
const ReluKernel<T>& select_relu(Pass pass, const ReluShape& shape, int threads);

// All kernels whose elements are of type T, float or double.
template <class T>
const std::vector<ReluKernel<T>>& relu_registry();

// All of the registry, "name pass isa" a line.
std::string list_relu_kernels();

}  // namespace cnnext
