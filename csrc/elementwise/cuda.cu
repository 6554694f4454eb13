// SPDX-License-Identifier: BSD-3-Clause
// Element-wise operators move memory and do little else, so each thread takes 16 bytes, the most
// that one instruction loads. What does not fill 16 bytes is left to threads of one element each;
// so is everything where an array does not begin at a multiple of 16.
#include "common/cuda/launch.h"
#include "common/cuda/math.h"
#include "common/cuda/operator.h"
#include "elementwise/operators.h"

namespace cnnext {
namespace {

template <class Value>
struct Transcendental {
  CNNEXT_INLINE static Value sigmoid(Value x) { return logistic(x); }
  CNNEXT_INLINE static Value tanh(Value x) { return hyperbolic_tangent(x); }
};

template <class T>
struct alignas(16) Pack {
  static constexpr int kSize = 16 / sizeof(T);
  T values[kSize];
};

template <class Op, Pass kPass, class T>
__device__ __forceinline__ T apply(T first, T second, const typename Op::Parameters& parameters) {
  return narrow<T>(evaluate<Op, kPass>(widen(first), widen(second), parameters));
}

// The first `packs` times 16 bytes of the arrays are packs.
template <class Op, Pass kPass, class T>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    elementwise(ElementwiseShape<Op> s, int64_t packs, const T* first, const T* second, T* result) {
  const int64_t thread = global_thread();
  if (thread < packs) {
    const Pack<T> x = reinterpret_cast<const Pack<T>*>(first)[thread];
    Pack<T> y = x;
    if constexpr (kPass != Pass::forward) y = reinterpret_cast<const Pack<T>*>(second)[thread];
    Pack<T> out;
#pragma unroll
    for (int i = 0; i < Pack<T>::kSize; ++i) {
      out.values[i] = apply<Op, kPass>(x.values[i], y.values[i], s.parameters);
    }
    reinterpret_cast<Pack<T>*>(result)[thread] = out;
    return;
  }
  const int64_t i = packs * Pack<T>::kSize + thread - packs;
  if (i >= s.size) return;
  const T other = kPass == Pass::forward ? first[i] : second[i];
  result[i] = apply<Op, kPass>(first[i], other, s.parameters);
}

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

template <Pass kPass, class Op, class T>
void run_pass(const ElementwiseShape<Op>& s, const ElementwiseOperands<T>& o, cudaStream_t stream) {
  const bool packed = aligned(o.first) && aligned(o.second) && aligned(o.result);
  const int64_t packs = packed ? s.size / Pack<T>::kSize : 0;
  const int64_t threads = packs + (s.size - packs * Pack<T>::kSize);
  launch_elements(&elementwise<Op, kPass, T>, threads, stream, s, packs, o.first, o.second,
                  o.result);
}

template <class Op, class T>
void run(Pass pass, const ElementwiseShape<Op>& s, const ElementwiseOperands<T>& o,
         cudaStream_t stream) {
  if (pass == Pass::forward) {
    run_pass<Pass::forward>(s, o, stream);
  } else {
    run_pass<Pass::bwd_input>(s, o, stream);
  }
}

}  // namespace

#define CNNEXT_LAUNCH_OPERATOR(Op, op) CNNEXT_LAUNCH(Op, run)
CNNEXT_FOR_ELEMENTWISE(CNNEXT_LAUNCH_OPERATOR)

}  // namespace cnnext
