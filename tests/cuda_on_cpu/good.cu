// SPDX-License-Identifier: BSD-3-Clause
// Kernels that do nothing wrong, in the ways that kernels work together: they must run on the
// engine in any order of their threads and blocks, and be right.
#include <algorithm>

#include "cases.h"

namespace cases {
namespace {

// Four blocks, each of which adds up its part of `in`; the parameters are as kernels have them.
struct Large {
  float weights[200];
  int last;
};

__global__ void dot_products(const Large large, const float* in, float* out) {
  __shared__ float sums[kBlock / warpSize];
  const int i = threadIdx.x, block = blockIdx.x + gridDim.x * blockIdx.z;
  float sum = __ldg(&in[block * kBlock + i]) * large.weights[i] * static_cast<float>(large.last);
  for (int lanes = warpSize / 2; lanes > 0; lanes /= 2) {
    sum += __shfl_xor_sync(kAllLanes, sum, lanes);
  }
  if (i % warpSize == 0) sums[i / warpSize] = sum;
  __syncthreads();
  if (i == 0) out[block] = sums[0] + sums[1];
}

__global__ void rotate(const float* in, float* out) {
  __shared__ float tile[kBlock];
  const int i = threadIdx.x;
  tile[i] = in[i];
  for (int step = 0; step < 10; ++step) {
    __syncthreads();
    const float next = tile[(i + 1) % kBlock];
    __syncthreads();
    tile[i] = next;
  }
  out[i] = tile[i];
}

__global__ void rotate_in_dynamic(const float* in, float* out) {
  float* const tile = dynamic_floats();
  const int i = threadIdx.x, last = 16 * 1024 - 1;  // 64 KiB
  tile[last - i] = in[i];
  __syncthreads();
  out[i] = tile[last - (i + 1) % kBlock];
}

__global__ void rotate_in_global(const float* in, float* out) {
  const int i = threadIdx.x;
  out[kBlock + i] = in[i];
  __syncthreads();
  out[i] = out[kBlock + (i + 1) % kBlock];
}

// Through other lanes: 1 waits for 0, 2 for 1, and so on, so that 31 may read what 0 wrote.
__global__ void chain_of_lanes(const float* in, float* out) {
  __shared__ float tile[kBlock];
  const int i = threadIdx.x, lane = i % warpSize;
  tile[i] = in[i];
  for (int link = 0; link < warpSize - 1; ++link) {
    if (lane == link || lane == link + 1) __syncwarp(3u << link);
  }
  out[i] = lane == warpSize - 1 ? tile[i - lane] : tile[i];
}

// Neighbours write parts of one word.
__global__ void bytes_of_words(const float*, float* out) {
  __shared__ unsigned char bytes[kBlock];
  const int i = threadIdx.x;
  bytes[i] = static_cast<unsigned char>(i);
  __syncthreads();
  out[i] = static_cast<float>(bytes[(i + 1) % kBlock]);
  __syncthreads();
  if (i % 4 == 0) {
    const uint2 two = reinterpret_cast<const uint2*>(bytes)[i / 8];
    out[kBlock + i / 4] = static_cast<float>(i % 8 == 0 ? two.x : two.y);
  }
}

__global__ void vectors(const float* in, float* out) {
  const int i = threadIdx.x;
  float4 four = reinterpret_cast<const float4*>(in)[i];
  four.x += four.w;
  reinterpret_cast<float4*>(out)[i] = four;
}

__device__ __forceinline__ const float* first_of(const float* table) { return table; }

__global__ void constants(const float* in, float* out) {
  static constexpr float kTable[] = {1, 2, 3, 4};
  const int i = threadIdx.x;
  const float* const table = i < 4 ? in : first_of(kTable);
  out[i] = table[i % 4];
}

// ------------------------------------------------------------------------------------ the cases

float rotated(int i) { return i < kBlock ? static_cast<float>((i + 1) % kBlock + 1) : NAN; }
float rotated_by_ten(int i) { return i < kBlock ? static_cast<float>((i + 10) % kBlock + 1) : NAN; }
float first_lane(int i) {
  return i < kBlock && i % 32 == 31 ? static_cast<float>(i - 30) : counted(i);
}
float byte_words(int i) {
  if (i < kBlock) return static_cast<float>((i + 1) % kBlock);
  const int first = (i - kBlock) * 4;  // the words are 03020100, 07060504, and so on
  return first < kBlock ? static_cast<float>(0x03020100u + 0x01010101u * first) : NAN;
}
float with_fourth(int i) { return static_cast<float>(i % 4 == 0 ? 2 * i + 5 : i + 1); }
float counted_by_four(int i) { return i < kBlock ? static_cast<float>(i % 4 + 1) : NAN; }

#define CASE(kernel, ...) {#kernel, &(kernel), __VA_ARGS__}
const Case kCases[] = {
    CASE(rotate, {1, kBlock, 0}, rotated_by_ten),
    CASE(rotate_in_dynamic, {1, kBlock, kLargeDynamic}, rotated),
    CASE(rotate_in_global, {1, kBlock, 0}, rotated),
    CASE(chain_of_lanes, {1, kBlock, 0}, first_lane),
    CASE(bytes_of_words, {1, kBlock, 0}, byte_words),
    CASE(constants, {1, kBlock, 0}, counted_by_four),
    CASE(vectors, {1, kBlock, 0}, with_fourth),
};
#undef CASE

std::string run_dot_products() {
  Operands operands;
  Large large{};
  std::fill_n(large.weights, kBlock, 1.f);
  large.last = 2;
  launch(&dot_products, {{2, 1, 2}, kBlock, 0}, large, operands.in(), operands.out());
  return differences(operands.out(), [](int block) {
    return block < 4 ? static_cast<float>(kBlock * (kBlock * (2 * block + 1) + 1)) : NAN;
  });
}

}  // namespace

std::optional<std::string> run_good(const std::string& name) {
  if (name == "dot_products") return run_dot_products();
  cudaFuncSetAttribute(&rotate_in_dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize,
                       kLargeDynamic);
  return run_named(kCases, name);
}

}  // namespace cases
