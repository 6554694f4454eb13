// SPDX-License-Identifier: BSD-3-Clause
// The pools for torch tensors on any device.
#pragma once

#include "pooling/torch_average.h"
#include "pooling/torch_maximum.h"

namespace cnnext {
namespace pooling {

inline void define_operators(StableLibrary& m) {
  define_averages(m);
  define_maxima(m);
}

template <class Device>
void implement_operators(StableLibrary& m) {
  implement_averages<Device>(m);
  implement_maxima<Device>(m);
}

}  // namespace pooling
}  // namespace cnnext
