// SPDX-License-Identifier: BSD-3-Clause
// adaptive_avg_pool2d for NumPy arrays: see common/numpy/bindings.h.
#include "adaptive_avg_pool2d/select.h"
#include "pooling/numpy_average.h"

namespace cnnext {
namespace {

struct AdaptiveAvgPool2d {
  static constexpr const char* kName = "adaptive_avg_pool2d";
  using Shape = AdaptivePoolShape;

  template <class T>
  static const auto& registry() {
    return adaptive_avg_pool2d_registry<T>();
  }

  template <class T>
  static const auto& select(Pass pass, const Shape& shape, int threads) {
    return select_adaptive_avg_pool2d<T>(pass, shape, threads);
  }

  static Shape shape(Fields& f) { return adaptive_shape(f); }
};

[[maybe_unused]] const bool registered = register_bindings(bind_average<AdaptiveAvgPool2d>);

}  // namespace
}  // namespace cnnext
