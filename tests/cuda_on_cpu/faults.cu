// SPDX-License-Identifier: BSD-3-Clause
// Kernels with a planted fault, whose lines are marked with what the engine must say of it.
#include "cases.h"

namespace cases {
namespace {

// ------------------------------------------------------------------------------------- races

__global__ void read_after_write(const float* in, float* out) {
  __shared__ float tile[kBlock];
  const int i = threadIdx.x;
  tile[i] = in[i];                  // FAULT: race
  out[i] = tile[(i + 1) % kBlock];  // FAULT: race
}

__global__ void write_after_read(const float* in, float* out) {
  __shared__ float tile[kBlock];
  const int i = threadIdx.x;
  tile[i] = in[i];
  __syncthreads();
  const float next = tile[(i + 1) % kBlock];  // FAULT: race
  tile[i] = next + 1;                         // FAULT: race
  __syncthreads();
  out[i] = tile[i];
}

__global__ void write_after_write(const float* in, float* out) {
  __shared__ float tile[kBlock];
  const int i = threadIdx.x;
  tile[i / 2] = in[i];  // FAULT: race
  __syncthreads();
  out[i] = tile[i / 2];
}

__global__ void race_of_bytes(const float*, float* out) {
  __shared__ unsigned char bytes[kBlock];
  const int i = threadIdx.x;
  bytes[i] = static_cast<unsigned char>(i);  // FAULT: race
  out[i] = bytes[i ^ 1];                     // FAULT: race
}

// The barrier of half a warp does not hold for the other half.
__global__ void race_past_half_a_warp(const float* in, float* out) {
  __shared__ float tile[kBlock];
  const int i = threadIdx.x;
  tile[i] = in[i];  // FAULT: race
  __syncwarp(i < 16 ? 0x0000ffffu : 0xffff0000u);
  out[i] = tile[i ^ 16];  // FAULT: race
}

// A shuffle is not a barrier.
__global__ void race_past_shuffle(const float* in, float* out) {
  __shared__ float tile[kBlock];
  const int i = threadIdx.x;
  tile[i] = in[i];  // FAULT: race
  const float other = __shfl_xor_sync(kAllLanes, in[i], 1);
  out[i] = tile[i ^ 1] + other;  // FAULT: race
}

__global__ void race_in_dynamic(const float* in, float* out) {
  float* const tile = dynamic_floats();
  const int i = threadIdx.x;
  tile[i] = in[i];                  // FAULT: race
  out[i] = tile[(i + 1) % kBlock];  // FAULT: race
}

__global__ void race_in_global(const float* in, float* out) {
  const int i = threadIdx.x;
  out[i] = in[i];                           // FAULT: race
  out[kBlock + i] = out[(i + 1) % kBlock];  // FAULT: race
}

__global__ void blocks_write_one_place(const float*, float* out) {
  out[threadIdx.x] = static_cast<float>(blockIdx.x);  // FAULT: conflict of blocks
}

__global__ void blocks_exchange(const float* in, float* out) {
  const int i = threadIdx.x, block = blockIdx.x;
  out[block * kBlock + i] = in[i];                                // FAULT: conflict of blocks
  out[(2 + block) * kBlock + i] = out[(1 - block) * kBlock + i];  // FAULT: conflict of blocks
}

// ----------------------------------------------------------------------------------- accesses

__global__ void below(const float* in, float* out) {
  const int i = threadIdx.x;
  out[i] = in[i - 1];  // FAULT: out of bounds
}

__global__ void above(const float* in, float* out) {
  const int i = threadIdx.x;
  out[kSize - kBlock + 1 + i] = in[i];  // FAULT: out of bounds
}

__global__ void across_end(const float*, float* out) {
  out[threadIdx.x] = 0;
  static_cast<double*>(cuda_on_cpu::dynamic_shared())[1] = 1;  // FAULT: out of bounds
}

__global__ void above_array(const float* in, float* out) {
  __shared__ float first[kBlock], second[kBlock];
  const int i = threadIdx.x;
  first[i] = second[i] = in[i];
  __syncthreads();
  out[i] = first[i + 1] + second[i];  // FAULT: out of bounds
}

__global__ void above_dynamic(const float* in, float* out) {
  const int i = threadIdx.x;
  dynamic_floats()[i + 1] = in[i];  // FAULT: out of bounds
  out[i] = 0;
}

__global__ void local_of_another(const float* in, float* out) {
  __shared__ const float* pointers[kBlock];
  const int i = threadIdx.x;
  const float own[2] = {in[i], in[i + 1]};
  pointers[i] = own;
  __syncthreads();
  out[i] = pointers[i ^ 1][i % 2];  // FAULT: out of bounds
}

__global__ void read_only(const float* in, float*) {
  const_cast<float*>(in)[threadIdx.x] = 1;  // FAULT: write to read-only memory
}

__global__ void misaligned(const float* in, float* out) {
  const float4 four = *reinterpret_cast<const float4*>(in + 1);  // FAULT: misaligned access
  out[threadIdx.x] = four.x;
}

// Used for its bytes only: the access itself is aligned enough.
__global__ void misaligned_cast(const float* in, float* out) {
  const auto* const two = reinterpret_cast<const float2*>(in + 1);
  out[threadIdx.x] = two->y;  // FAULT: misaligned access
}

// No fault of an access, but the result shows it.
__global__ void unset_static(const float* in, float* out) {
  __shared__ float tile[kBlock];
  const int i = threadIdx.x;
  if (i > 0) tile[i] = in[i];
  __syncthreads();
  out[i] = tile[i];
}

__global__ void unset_dynamic(const float*, float* out) {
  out[threadIdx.x] = dynamic_floats()[threadIdx.x];
}

// ------------------------------------------------------------------------------------ meetings

__global__ void barrier_and_exit(const float*, float* out) {
  if (threadIdx.x == 3) return;
  __syncthreads();  // FAULT: divergent barrier
  out[threadIdx.x] = 0;
}

__global__ void two_barriers(const float*, float* out) {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();  // FAULT: divergent barrier
  } else {
    __syncthreads();  // FAULT: divergent barrier
  }
  out[threadIdx.x] = 0;
}

__global__ void own_lane_missing(const float* in, float* out) {
  const int i = threadIdx.x;
  out[i] = __shfl_xor_sync(0xfffffffeu, in[i], 1);  // FAULT: wrong lane mask
}

__global__ void lane_has_ended(const float* in, float* out) {
  const int i = threadIdx.x;
  if (i == 5) return;
  out[i] = __shfl_xor_sync(kAllLanes, in[i], 1);  // FAULT: wrong lane mask
}

__global__ void lane_never_comes(const float* in, float* out) {
  const int i = threadIdx.x;
  if (i != 5) out[i] = __shfl_down_sync(kAllLanes, in[i], 1);  // FAULT: wrong lane mask
  __syncthreads();
}

__global__ void masks_disagree(const float*, float* out) {
  const int i = threadIdx.x;
  const unsigned mask = i < 16 ? kAllLanes : 0xffff0000u;
  out[i] = static_cast<float>(__ballot_sync(mask, i % 3));  // FAULT: wrong lane mask
}

__global__ void operations_disagree(const float* in, float* out) {
  const int i = threadIdx.x;
  if (i < 16) {
    out[i] = __shfl_sync(kAllLanes, in[i], 0);  // FAULT: wrong lane mask
  } else {
    __syncwarp();  // FAULT: wrong lane mask
  }
}

__global__ void lane_outside_mask(const float* in, float* out) {
  const int i = threadIdx.x;
  if (i < 16) out[i] = __shfl_sync(0x0000ffffu, in[i], 16);  // FAULT: wrong lane mask
}

__global__ void lane_that_is_not(const float* in, float* out) {
  const int i = threadIdx.x;
  out[i] = __shfl_xor_sync(kAllLanes, in[i], 1);  // FAULT: wrong lane mask
}

// ------------------------------------------------------------------------------------ the cases

// For launches that are at fault themselves.
__global__ void nothing(const float*, float*) {}

__global__ void uses_static(const float* in, float* out) {
  __shared__ float tile[kBlock];
  const int i = threadIdx.x;
  tile[i] = in[i];
  __syncthreads();
  out[i] = tile[kBlock - 1 - i];
}

#define CASE(kernel, ...) {#kernel, &(kernel), __VA_ARGS__}
const Case kCases[] = {
    CASE(read_after_write, {1, kBlock, 0}),
    CASE(write_after_read, {1, kBlock, 0}),
    CASE(write_after_write, {1, kBlock, 0}),
    CASE(race_of_bytes, {1, kBlock, 0}),
    CASE(race_past_half_a_warp, {1, 32, 0}),
    CASE(race_past_shuffle, {1, kBlock, 0}),
    CASE(race_in_dynamic, {1, kBlock, kDynamic}),
    CASE(race_in_global, {1, kBlock, 0}),
    CASE(blocks_write_one_place, {2, kBlock, 0}),
    CASE(blocks_exchange, {2, kBlock, 0}),
    CASE(below, {1, kBlock, 0}),
    CASE(above, {1, kBlock, 0}),
    CASE(across_end, {1, 1, 12}),
    CASE(above_array, {1, kBlock, 0}),
    CASE(above_dynamic, {1, kBlock, kDynamic}),
    CASE(local_of_another, {1, kBlock, 0}),
    CASE(read_only, {1, kBlock, 0}),
    CASE(misaligned, {1, kBlock, 0}),
    CASE(misaligned_cast, {1, kBlock, 0}),
    CASE(barrier_and_exit, {1, kBlock, 0}),
    CASE(two_barriers, {1, kBlock, 0}),
    CASE(own_lane_missing, {1, 32, 0}),
    CASE(lane_has_ended, {1, 32, 0}),
    CASE(lane_never_comes, {1, 32, 0}),
    CASE(masks_disagree, {1, 32, 0}),
    CASE(operations_disagree, {1, 32, 0}),
    CASE(lane_outside_mask, {1, 32, 0}),
    CASE(lane_that_is_not, {1, 48, 0}),
    {"no_threads", &nothing, {1, 0, 0}},
    {"no_blocks", &nothing, {{1, 0}, 1, 0}},
    {"too_many_threads", &nothing, {1, {32, 33}, 0}},
    {"too_deep", &nothing, {1, {1, 1, 65}, 0}},
    {"too_tall", &nothing, {{1, 65536}, 1, 0}},
    {"too_much_dynamic", &nothing, {1, 1, kLargeDynamic}},
    {"too_much_in_all", &uses_static, {1, kBlock, 48 * 1024 - 128}},
    CASE(unset_static, {1, kBlock, 0}, counted),
    CASE(unset_dynamic, {1, kBlock, kDynamic}, counted),
};
#undef CASE

}  // namespace
}  // namespace cases

// The message of the fault, or how the result differs, or nothing if all is right.
extern "C" const char* cuda_on_cpu_run(const char* name, unsigned long long seed) {
  static thread_local std::string message;
  cuda_on_cpu::set_seed(seed);
  try {
    std::optional<std::string> result = cases::run_good(name);
    if (!result) result = cases::run_named(cases::kCases, name);
    message = result.value_or("there is no such case");
  } catch (const cuda_on_cpu::Fault& fault) {
    message = fault.what();
  }
  return message.c_str();
}
