// SPDX-License-Identifier: BSD-3-Clause
// relu moves memory and does nothing else, so each thread takes 16 bytes, the most that one
// instruction loads. What does not fill 16 bytes is left to threads of one element each; so is
// everything where an array does not begin at a multiple of 16.
#include "common/cuda/launch.h"
#include "relu/cuda.h"

namespace cnnext {
namespace {

template <class T>
struct alignas(16) Pack {
  static constexpr int kSize = 16 / sizeof(T);
  T values[kSize];
};

template <class T>
__device__ __forceinline__ T apply(Pass pass, T first, T second) {
  const bool passes = pass == Pass::forward ? !(widen(first) < 0) : !(widen(second) <= 0);
  return passes ? first : narrow<T>(0);
}

// Of the arrays, the first `packs` times 16 bytes are packs.
template <class T, Pass kPass>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    relu(int64_t size, int64_t packs, const T* first, const T* second, T* result) {
  const int64_t thread = global_thread();
  if (thread < packs) {
    const Pack<T> x = reinterpret_cast<const Pack<T>*>(first)[thread];
    Pack<T> y = x;
    if constexpr (kPass != Pass::forward) y = reinterpret_cast<const Pack<T>*>(second)[thread];
    Pack<T> out;
#pragma unroll
    for (int i = 0; i < Pack<T>::kSize; ++i) out.values[i] = apply(kPass, x.values[i], y.values[i]);
    reinterpret_cast<Pack<T>*>(result)[thread] = out;
    return;
  }
  const int64_t i = packs * Pack<T>::kSize + thread - packs;
  if (i >= size) return;
  result[i] = apply(kPass, first[i], kPass == Pass::forward ? first[i] : second[i]);
}

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

template <Pass kPass, class T>
void run(int64_t size, const ReluOperands<T>& o, cudaStream_t stream) {
  const bool packed = aligned(o.first) && aligned(o.second) && aligned(o.result);
  const int64_t packs = packed ? size / Pack<T>::kSize : 0;
  const int64_t threads = packs + (size - packs * Pack<T>::kSize);
  launch_elements(&relu<T, kPass>, threads, stream, size, packs, o.first, o.second, o.result);
}

}  // namespace

template <class T>
void relu_cuda(Pass pass, const ReluShape& s, const ReluOperands<T>& o, cudaStream_t stream) {
  if (pass == Pass::forward) {
    run<Pass::forward>(s.size, o, stream);
  } else {
    run<Pass::bwd_input>(s.size, o, stream);
  }
}

#define CNNEXT_INSTANTIATE(T) \
  template void relu_cuda<T>(Pass, const ReluShape&, const ReluOperands<T>&, cudaStream_t);
CNNEXT_FOR_CUDA_TYPES(CNNEXT_INSTANTIATE)

}  // namespace cnnext
