// SPDX-License-Identifier: BSD-3-Clause
// CUDA's half precision for a host compiler. Every NaN becomes CUDA's canonical one.
#pragma once

#include <cstdint>
#include <cstring>

struct __half {
  uint16_t bits;
};

inline float __half2float(__half x) {
  _Float16 value;
  std::memcpy(&value, &x, sizeof(value));
  return static_cast<float>(value);
}

inline __half __float2half_rn(float x) {
  if (x != x) return {0x7fff};
  const _Float16 value = static_cast<_Float16>(x);
  __half result;
  std::memcpy(&result, &value, sizeof(result));
  return result;
}
