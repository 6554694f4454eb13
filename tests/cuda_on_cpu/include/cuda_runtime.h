// SPDX-License-Identifier: BSD-3-Clause
// The part of CUDA's language and runtime that the kernels use, for a host compiler: a kernel
// compiled against this header runs on the engine (cuda_on_cpu/engine.h), one fiber a thread.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "cuda_on_cpu/engine.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
// A block runs on one thread of the system, so what belongs to that belongs to the block.
#define __shared__ static thread_local

#define threadIdx (::cuda_on_cpu::thread_index())
#define blockIdx (::cuda_on_cpu::block_index())
#define blockDim (::cuda_on_cpu::block_size())
#define gridDim (::cuda_on_cpu::grid_size())
constexpr int warpSize = 32;

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

template <class T>
__forceinline__ T __ldg(const T* pointer) {
  return *pointer;
}

// ----------------------------------------------------------------------- threads that wait

// The last parameters of these are not CUDA's: they are the line of the call.

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  ::cuda_on_cpu::block_barrier({file, line});
}

inline void __syncwarp(unsigned mask = 0xffffffffu, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  ::cuda_on_cpu::warp_barrier(mask, {file, line});
}

namespace cuda_on_cpu {

template <class T>
T shuffle(unsigned mask, T value, int source_lane, const char* name, Site site) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "CUDA shuffles numbers of 4 or 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = warp_exchange(mask, bits, source_lane, name, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

// A lane that would read from beyond its group of `width` lanes reads from itself.
inline int inside_group(int source, int width) {
  return source <= (lane() | (width - 1)) ? source : lane();
}

}  // namespace cuda_on_cpu

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = warpSize,
              const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const int source = (::cuda_on_cpu::lane() & -width) | (lane & (width - 1));
  return ::cuda_on_cpu::shuffle(mask, value, source, "__shfl_sync", {file, line});
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = warpSize,
                  const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const int source =
      ::cuda_on_cpu::inside_group(::cuda_on_cpu::lane() ^ (lanes & (warpSize - 1)), width);
  return ::cuda_on_cpu::shuffle(mask, value, source, "__shfl_xor_sync", {file, line});
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = warpSize,
                   const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const int distance = static_cast<int>(lanes) & (warpSize - 1);
  const int source = ::cuda_on_cpu::inside_group(::cuda_on_cpu::lane() + distance, width);
  return ::cuda_on_cpu::shuffle(mask, value, source, "__shfl_down_sync", {file, line});
}

inline unsigned __ballot_sync(unsigned mask, int vote, const char* file = __builtin_FILE(),
                              int line = __builtin_LINE()) {
  return ::cuda_on_cpu::warp_ballot(mask, vote != 0, {file, line});
}

// -------------------------------------------------------------------------------- the runtime

using cudaStream_t = struct CUstream_st*;

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1 };

inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid argument";
}

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int value) {
  const bool possible = value >= 0 && ::cuda_on_cpu::allow_dynamic_shared(
                                          reinterpret_cast<const void*>(kernel), value);
  return possible ? cudaSuccess : cudaErrorInvalidValue;
}

namespace cuda_on_cpu {

// The arguments are copied to the stack of each fiber, as CUDA gives each thread its own.
template <class... Parameters>
struct Caller {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...),
                "CUDA copies a kernel's arguments as bytes");

  static void call(void* kernel, void** arguments) {
    unpack(kernel, arguments, std::index_sequence_for<Parameters...>{});
  }

 private:
  using Kernel = void (*)(Parameters...);

  // Not sanitized: the arguments' originals are not the kernel's to read.
  template <size_t... I>
  __attribute__((no_sanitize("thread"))) static void unpack(void* kernel,
                                                            [[maybe_unused]] void** arguments,
                                                            std::index_sequence<I...>) {
    reinterpret_cast<Kernel>(kernel)(*static_cast<Parameters*>(arguments[I])...);
  }
};

}  // namespace cuda_on_cpu

// Throws cuda_on_cpu::Fault where a GPU would fail, or worse.
template <class... Parameters>
cudaError_t cudaLaunchKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, void** arguments,
                             size_t shared_bytes = 0, cudaStream_t = nullptr) {
  ::cuda_on_cpu::launch(
      {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared_bytes,
      {&::cuda_on_cpu::Caller<Parameters...>::call, reinterpret_cast<void*>(kernel), arguments});
  return cudaSuccess;
}
