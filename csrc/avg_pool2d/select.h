// SPDX-License-Identifier: BSD-3-Clause
// Which avg_pool2d kernel runs: a pure function of shape, ISA and threads (and of a forced name).
#pragma once

#include <string>
#include <vector>

#include "avg_pool2d/avg_pool2d.h"
#include "common/kernel/registry.h"

namespace cnnext {

template <class T>
using AvgPool2dKernel = Kernel<AvgPool2dShape, AverageOperands<T>>;

// T is float or double. Throws std::runtime_error if a forced kernel does not apply.
template <class T>
const AvgPool2dKernel<T>& select_avg_pool2d(Pass pass, const AvgPool2dShape& shape, int threads);

// All kernels whose elements are of type T, float or double.
template <class T>
const std::vector<AvgPool2dKernel<T>>& avg_pool2d_registry();

// All of the registry, "name pass isa" a line.
std::string list_avg_pool2d_kernels();

}  // namespace cnnext
