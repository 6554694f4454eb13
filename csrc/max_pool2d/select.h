// SPDX-License-Identifier: BSD-3-Clause
// Which max_pool2d kernel runs: a pure function of shape, ISA and threads (and of a forced name).
#pragma once

#include <string>
#include <vector>

#include "common/kernel/registry.h"
#include "max_pool2d/max_pool2d.h"

namespace cnnext {

template <class T>
using MaxPool2dKernel = Kernel<MaxPool2dShape, MaxPool2dOperands<T>>;

// T is float or double. Throws std::runtime_error if a forced kernel does not apply.
template <class T>
const MaxPool2dKernel<T>& select_max_pool2d(Pass pass, const MaxPool2dShape& shape, int threads);

// All kernels whose elements are of type T, float or double.
template <class T>
const std::vector<MaxPool2dKernel<T>>& max_pool2d_registry();

// All of the registry, "name pass isa" a line.
std::string list_max_pool2d_kernels();

}  // namespace cnnext
