// SPDX-License-Identifier: BSD-3-Clause
// torch's names of the element types of CUDA kernels.
#pragma once

#include <cstdint>

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

// torch's name of T.
template <class T>
constexpr ScalarType element_type();
template <>
constexpr ScalarType element_type<float>() {
  return ScalarType::Float;
}
template <>
constexpr ScalarType element_type<double>() {
  return ScalarType::Double;
}
template <>
constexpr ScalarType element_type<Half>() {
  return ScalarType::Half;
}
template <>
constexpr ScalarType element_type<BFloat16>() {
  return ScalarType::BFloat16;
}
template <>
constexpr ScalarType element_type<uint8_t>() {
  return ScalarType::Byte;
}
template <>
constexpr ScalarType element_type<int64_t>() {
  return ScalarType::Long;
}

}  // namespace cnnext
