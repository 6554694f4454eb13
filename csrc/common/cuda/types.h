// SPDX-License-Identifier: BSD-3-Clause
// The element types of CUDA kernels, and what they are computed in.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

namespace cnnext {

using Half = __half;
using BFloat16 = __nv_bfloat16;

template <class T>
struct AccumulatorOf {
  using type = float;
};
template <>
struct AccumulatorOf<double> {
  using type = double;
};

// What elements of type T are computed in; results are rounded once, at the end.
template <class T>
using Accumulator = typename AccumulatorOf<T>::type;

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(Half x) { return __half2float(x); }
__device__ __forceinline__ float widen(BFloat16 x) { return __bfloat162float(x); }

template <class T>
__device__ __forceinline__ T narrow(Accumulator<T> x) {
  return x;
}
template <>
__device__ __forceinline__ Half narrow<Half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ __forceinline__ BFloat16 narrow<BFloat16>(float x) {
  return __float2bfloat16_rn(x);
}

// Calls macro(T) for every element type.
#define CNNEXT_FOR_CUDA_TYPES(macro) macro(float) macro(double) macro(Half) macro(BFloat16)

}  // namespace cnnext
