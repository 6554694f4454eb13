// SPDX-License-Identifier: BSD-3-Clause
// Which conv2d kernel runs, where the shape tells what is known of the values; exact_sums.h finds
// it out.
#pragma once

#include <string>

#include "common/kernel/registry.h"
#include "conv2d/conv2d.h"

namespace cnnext {

template <class T>
using Conv2dKernel = KernelOf<Conv2d, T>;

// The largest packed filter that is kept: others leave the caches between calls, and would be read
// at no more than the speed of packing them again.
constexpr int64_t kMaxKeptFilterBytes = int64_t{16} << 20;

// Unlike select<Conv2d, T> it leaves out Winograd's transforms where exact sums are preferred.
template <class T>
const Conv2dKernel<T>& select_conv2d(Pass pass, const Conv2dShape& shape, int threads);

}  // namespace cnnext
