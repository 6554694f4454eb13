// SPDX-License-Identifier: BSD-3-Clause
// The one way in which kernels are launched. Blocks and threads are numbered along x alone, where
// CUDA allows 2^31 - 1 blocks; kernels split the number themselves.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>

namespace cnnext {

constexpr int kThreads = 256;  // of a block
// On one multiprocessor. Unless told, the compiler aims for more, and spills registers for them.
constexpr int kMinBlocks = 2;

// The number of the running thread in its grid.
__device__ __forceinline__ int64_t global_thread() {
  return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

// Launches kernel(arguments...) with kThreads threads a block; throws if CUDA refuses.
template <class... Parameters, class... Arguments>
void launch_blocks(void (*kernel)(Parameters...), int64_t blocks, cudaStream_t stream,
                   const Arguments&... arguments) {
  if (blocks > INT32_MAX) {
    throw std::runtime_error(
        "CUDA: the tensors are too large for one grid: " + std::to_string(blocks) + " blocks");
  }
  dim3 grid, block;
  grid.x = static_cast<unsigned>(blocks);
  block.x = kThreads;
  std::tuple<Parameters...> values(arguments...);  // of the kernel's own types
  const cudaError_t error = std::apply(
      [&](auto&... value) {
        void* pointers[] = {&value...};
        return cudaLaunchKernel(kernel, grid, block, pointers, 0, stream);
      },
      values);
  if (error != cudaSuccess)
    throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(error));
}

// The same with a thread for each of `size` elements, and some that have none.
template <class... Parameters, class... Arguments>
void launch_elements(void (*kernel)(Parameters...), int64_t size, cudaStream_t stream,
                     const Arguments&... arguments) {
  launch_blocks(kernel, (size + kThreads - 1) / kThreads, stream, arguments...);
}

}  // namespace cnnext
