// SPDX-License-Identifier: BSD-3-Clause
// Which adaptive_avg_pool2d kernel runs: a pure function of shape, ISA and threads (and of a forced
// name).
#pragma once

#include <string>
#include <vector>

#include "adaptive_avg_pool2d/adaptive_avg_pool2d.h"
#include "common/kernel/registry.h"

namespace cnnext {

template <class T>
using AdaptiveAvgPool2dKernel = Kernel<AdaptivePoolShape, AverageOperands<T>>;

// T is float or double. Throws std::runtime_error if a forced kernel does not apply.
template <class T>
const AdaptiveAvgPool2dKernel<T>& select_adaptive_avg_pool2d(Pass pass,
                                                             const AdaptivePoolShape& shape,
                                                             int threads);

// All kernels whose elements are of type T, float or double.
template <class T>
const std::vector<AdaptiveAvgPool2dKernel<T>>& adaptive_avg_pool2d_registry();

// All of the registry, "name pass isa" a line.
std::string list_adaptive_avg_pool2d_kernels();

}  // namespace cnnext
