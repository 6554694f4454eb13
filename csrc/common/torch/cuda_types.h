// SPDX-License-Identifier: BSD-3-Clause
// torch's names of the element types of CUDA kernels.
#pragma once

#include <cstdint>
#include <type_traits>

#include "common/cuda/types.h"
#include "common/torch/checks.h"

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
                   "cnnext's CUDA kernels take float32, float64, float16 and bfloat16, but the "
                   "operands have dtype ",
                   t.scalar_type());
      return f(BFloat16());
  }
}

// torch's name of T, which is one of those or of the positions of max_pool2d.
template <class T>
constexpr ScalarType element_type() {
  if constexpr (std::is_same_v<T, float>) return ScalarType::Float;
  if constexpr (std::is_same_v<T, double>) return ScalarType::Double;
  if constexpr (std::is_same_v<T, Half>) return ScalarType::Half;
  if constexpr (std::is_same_v<T, BFloat16>) return ScalarType::BFloat16;
  if constexpr (std::is_same_v<T, uint8_t>) return ScalarType::Byte;
  if constexpr (std::is_same_v<T, int64_t>) return ScalarType::Long;
}

}  // namespace cnnext
