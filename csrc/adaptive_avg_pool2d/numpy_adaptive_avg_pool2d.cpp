// SPDX-License-Identifier: BSD-3-Clause
// adaptive_avg_pool2d for NumPy arrays: see common/numpy/bindings.h.
#include "adaptive_avg_pool2d/adaptive_avg_pool2d.h"
#include "pooling/numpy_average.h"

namespace cnnext {

template <>
AdaptivePoolShape read_shape<AdaptiveAvgPool2d>(Fields& f) {
  return adaptive_shape(f);
}

namespace {

[[maybe_unused]] const bool registered = register_bindings(bind_average<AdaptiveAvgPool2d>);

}  // namespace
}  // namespace cnnext
