// SPDX-License-Identifier: BSD-3-Clause
// Which linear kernel runs: a pure function of shape, ISA and threads (and of a forced name).
#pragma once

#include <string>
#include <vector>

#include "common/kernel/registry.h"
#include "linear/linear.h"

namespace cnnext {

template <class T>
using LinearKernel = Kernel<LinearShape, LinearOperands<T>>;

// T is float or double. Throws std::runtime_error if a forced kernel does not apply.
template <class T>
const LinearKernel<T>& select_linear(Pass pass, const LinearShape& shape, int threads);

// All kernels whose elements are of type T, float or double.
template <class T>
const std::vector<LinearKernel<T>>& linear_registry();

// All of the registry, "name pass isa" a line.
std::string list_linear_kernels();

}  // namespace cnnext
