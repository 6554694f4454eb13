// SPDX-License-Identifier: BSD-3-Clause
// torch's names of the element types of CUDA kernels.
#pragma once

#include <type_traits>

#include "common/cuda_types.h"
#include "common/torch_checks.h"

namespace cnnext {

// Calls f(T()) with the element type of t.
template <class F>
auto with_cuda_element_type(const Tensor& t, const F& f) {
  switch (t.scalar_type()) {
    case ScalarType::Float:
      return f(float());
    case ScalarType::Double:
      return f(double());
    case ScalarType::Half:
      return f(Half());
    default:
      CNNEXT_CHECK(t.scalar_type() == ScalarType::BFloat16,
                   "cnnext's CUDA kernels take float32, float64, float16 and bfloat16");
      return f(BFloat16());
  }
}

// torch's name of Accumulator<T>.
template <class T>
constexpr ScalarType accumulator_type() {
  return std::is_same_v<T, double> ? ScalarType::Double : ScalarType::Float;
}

}  // namespace cnnext
