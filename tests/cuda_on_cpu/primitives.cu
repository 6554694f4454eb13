// SPDX-License-Identifier: BSD-3-Clause
// Computes what kernels rely on (conversions of numbers, exchanges between lanes) on fixed inputs:
// on the engine, or compiled by nvcc on a GPU, whose values the engine's must equal.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace {

constexpr int kRandom = 256;
constexpr int kWarpLanes = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

template <class To, class From>
__device__ __forceinline__ To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From), "the same bits");
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

// -------------------------------------------------------------------------------- conversions

struct ToHalf {
  __device__ static uint32_t apply(uint32_t x) {
    return bits_as<uint16_t>(__float2half_rn(bits_as<float>(x)));
  }
};
struct FromHalf {
  __device__ static uint32_t apply(uint32_t x) {
    return bits_as<uint32_t>(__half2float(bits_as<__half>(static_cast<uint16_t>(x))));
  }
};
struct ToBFloat16 {
  __device__ static uint32_t apply(uint32_t x) {
    return bits_as<uint16_t>(__float2bfloat16_rn(bits_as<float>(x)));
  }
};
struct FromBFloat16 {
  __device__ static uint32_t apply(uint32_t x) {
    return bits_as<uint32_t>(__bfloat162float(bits_as<__nv_bfloat16>(static_cast<uint16_t>(x))));
  }
};

// Pairs of an input and its result.
template <class Conversion>
__global__ void convert(const uint32_t* in, uint32_t* out, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  out[2 * i] = in[i];
  out[2 * i + 1] = Conversion::apply(in[i]);
}

// ---------------------------------------------------------------------------------- exchanges

// What lane i brings.
__device__ __forceinline__ uint32_t brought(int lane) {
  return static_cast<uint32_t>(lane) * 2654435761u + 12345u;
}

// A row of 32 results for each operation; lanes that take no part leave `in` as it is.
__global__ void exchange(const uint32_t* in, uint32_t* out, int) {
  const int lane = threadIdx.x;
  const uint32_t x = brought(lane);
  int row = 0;
  const auto put = [&](uint32_t result) { out[row++ * kWarpLanes + lane] = result; };
  put(__shfl_sync(kAllLanes, x, 5));
  put(__shfl_sync(kAllLanes, x, 37));
  put(__shfl_sync(kAllLanes, x, (lane * 7 + 3) % kWarpLanes));
  put(__shfl_sync(kAllLanes, x, 11, 8));
  for (int lanes = 1; lanes < kWarpLanes; lanes *= 2) put(__shfl_xor_sync(kAllLanes, x, lanes));
  put(__shfl_xor_sync(kAllLanes, x, 12, 8));
  for (int lanes = 1; lanes < kWarpLanes; lanes *= 2) put(__shfl_down_sync(kAllLanes, x, lanes));
  put(__shfl_down_sync(kAllLanes, x, 3, 8));
  const uint64_t both = static_cast<uint64_t>(x) << 32 | ~x;
  const uint64_t other = __shfl_xor_sync(kAllLanes, static_cast<unsigned long long>(both), 1);
  put(static_cast<uint32_t>(other));
  put(static_cast<uint32_t>(other >> 32));
  put(bits_as<uint32_t>(__shfl_sync(kAllLanes, bits_as<float>(x), 9)));
  put(__ballot_sync(kAllLanes, x >> 7 & 1));
  put(lane < 16 ? __ballot_sync(0x0000ffffu, x >> 9 & 2) : in[lane]);
  put(lane < 16 ? __shfl_xor_sync(0x0000ffffu, x, 8) : in[lane]);
}
constexpr int kExchanges = 22;

// ------------------------------------------------------------------------------- the launches

void launch(void (*kernel)(const uint32_t*, uint32_t*, int), int blocks, int threads,
            const uint32_t* in, uint32_t* out, int count) {
  void* arguments[] = {&in, &out, &count};
  cudaLaunchKernel(kernel, dim3(blocks), dim3(threads), arguments, 0, nullptr);
}

// Runs the kernel on copies of `in` and `out` that it may touch.
#ifdef __CUDACC__
void run(void (*kernel)(const uint32_t*, uint32_t*, int), int blocks, int threads,
         const std::vector<uint32_t>& in, std::vector<uint32_t>& out) {
  uint32_t *device_in, *device_out;
  const size_t in_bytes = in.size() * sizeof(uint32_t), out_bytes = out.size() * sizeof(uint32_t);
  cudaMalloc(&device_in, in_bytes);
  cudaMalloc(&device_out, out_bytes);
  cudaMemcpy(device_in, in.data(), in_bytes, cudaMemcpyHostToDevice);
  launch(kernel, blocks, threads, device_in, device_out, static_cast<int>(in.size()));
  cudaMemcpy(out.data(), device_out, out_bytes, cudaMemcpyDeviceToHost);
  cudaFree(device_in);
  cudaFree(device_out);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}
#else
void run(void (*kernel)(const uint32_t*, uint32_t*, int), int blocks, int threads,
         const std::vector<uint32_t>& in, std::vector<uint32_t>& out) {
  cuda_on_cpu::allow(in.data(), in.size() * sizeof(uint32_t), false);
  cuda_on_cpu::allow(out.data(), out.size() * sizeof(uint32_t), true);
  launch(kernel, blocks, threads, in.data(), out.data(), static_cast<int>(in.size()));
  cuda_on_cpu::forget(in.data());
  cuda_on_cpu::forget(out.data());
}
#endif

// Random bits, the same for ever.
std::vector<uint32_t> with_random(std::vector<uint32_t> values, uint32_t mask) {
  uint32_t state = 1;
  for (int i = 0; i < kRandom; ++i) {
    state = state * 1664525u + 1013904223u;
    values.push_back((state ^ state >> 15) & mask);
  }
  return values;
}

// Floats around whatever may go wrong: each with its neighbours, of both signs.
std::vector<uint32_t> floats() {
  const uint32_t centres[] = {
      0x00000001,  // least float, and zero
      0x00800000,  // least normal float
      0x33000000,  // half of the least half: a tie
      0x33800000,  // least half
      0x33c00000,  // one and a half times that: a tie
      0x38000000,  // of the subnormal halves
      0x387fe000,  // between the greatest subnormal half and the least normal one: a tie
      0x38800000,  // least normal half
      0x3f800000,  // one
      0x3f801000,  // between one and the next half: a tie to even, downwards
      0x3f803000,  // upwards
      0x3f808000,  // the same for bfloat16
      0x3f818000,  //
      0x477fe000,  // greatest half
      0x477ff000,  // a tie between that and infinity
      0x47800000,  // beyond
      0x7f7f0000,  // greatest bfloat16
      0x7f7f8000,  // a tie between that and infinity
      0x7f7fffff,  // greatest float
      0x7f800001,  // infinity, and signalling NaN
      0x7fc00000,  // quiet NaN
      0x7ffffffe,  // NaN of all ones
      0x00008000,  // a tie of subnormal bfloat16
      0x00018000,  //
      0x007f8000,  // between the greatest subnormal bfloat16 and the least normal one: a tie
  };
  std::vector<uint32_t> values;
  for (const uint32_t centre : centres) {
    for (const uint32_t value : {centre - 1, centre, centre + 1}) {
      values.push_back(value);
      values.push_back(value | 0x80000000u);
    }
  }
  return with_random(values, 0xffffffffu);
}

// The ends of every binade, of both signs, which have zero, subnormals, infinity and NaN among
// them.
std::vector<uint32_t> shorts(int mantissa_bits) {
  std::vector<uint32_t> values;
  for (uint32_t binade = 0; binade < 0x10000u; binade += 1u << mantissa_bits) {
    for (const uint32_t mantissa : {0u, 1u, (1u << mantissa_bits) - 1}) {
      values.push_back(binade | mantissa);
    }
  }
  return with_random(values, 0xffffu);
}

template <class Conversion>
void append(std::vector<uint32_t>& all, const std::vector<uint32_t>& in) {
  constexpr int kThreads = 128;
  std::vector<uint32_t> out(2 * in.size());
  const int blocks = (static_cast<int>(in.size()) + kThreads - 1) / kThreads;
  run(&convert<Conversion>, blocks, kThreads, in, out);
  all.push_back(static_cast<uint32_t>(in.size()));
  all.insert(all.end(), out.begin(), out.end());
}

}  // namespace

// Writes, for each conversion, the number of its inputs, and pairs of an input and its result; then
// the exchanges' number, and 32 results of each. Returns how many values that is in all; writes
// none if they are more than the capacity.
extern "C" int cuda_on_cpu_primitives(unsigned* out, int capacity) {
  std::vector<uint32_t> all;
  append<ToHalf>(all, floats());
  append<FromHalf>(all, shorts(10));
  append<ToBFloat16>(all, floats());
  append<FromBFloat16>(all, shorts(7));
  std::vector<uint32_t> exchanged(kExchanges * kWarpLanes);
  run(&exchange, 1, kWarpLanes, std::vector<uint32_t>(kWarpLanes, 0x5eed), exchanged);
  all.push_back(kExchanges);
  all.insert(all.end(), exchanged.begin(), exchanged.end());
  const int count = static_cast<int>(all.size());
  if (count <= capacity) std::memcpy(out, all.data(), all.size() * sizeof(uint32_t));
  return count;
}
