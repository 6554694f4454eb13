// SPDX-License-Identifier: BSD-3-Clause
// In the place of csrc/common/torch/cuda.h: the engine as the adapters see a device. The operators
// are those of another library than cnnext's, on CPU tensors. Their kernels may touch the operands
// and nothing else, and find their results full of NaN.
#pragma once

#include <cstring>
#include <vector>

#include "common/cuda/operator.h"
#include "common/torch/cuda_types.h"
#include "cuda_on_cpu/engine.h"

#define CNNEXT_CUDA_OPERATORS(m) STABLE_TORCH_LIBRARY_IMPL(cnnext_cuda_on_cpu, CPU, m)

namespace cnnext {

class CudaDevice {
 public:
  explicit CudaDevice(const Tensor&) {}
  CudaDevice(const CudaDevice&) = delete;
  ~CudaDevice() {
    for (const void* memory : allowed_) cuda_on_cpu::forget(memory);
  }

  template <class F>
  static auto with_element_type(const Tensor& t, const F& f) {
    return with_cuda_element_type(t, f);
  }

  template <class T>
  const T* read(const Tensor& t) const {
    check_type<T>(t);
    check_allocated(t);
    const T* memory = static_cast<const T*>(t.const_data_ptr());
    allow(memory, extent(t), false);
    return memory;
  }

  template <class T>
  const T* read(const std::optional<Tensor>& t) const {
    return t.has_value() ? read<T>(*t) : nullptr;
  }

  // What was given to read before is written in place.
  template <class T>
  T* write(const Tensor& t) const {
    check_type<T>(t);
    T* memory = static_cast<T*>(t.mutable_data_ptr());
    bool in_place = false;
    for (const void* read : allowed_) in_place |= read == memory;
    if (!in_place) std::memset(static_cast<void*>(memory), 0xff, extent(t) * sizeof(T));
    allow(memory, extent(t), true);
    return memory;
  }

  template <class Op, template <class> class Operands, class T>
  void compute(Pass pass, const typename Op::Shape& s, const Operands<T>& o) const {
    launch<Op, T>(pass, s, o, stream());
  }

  cudaStream_t stream() const { return nullptr; }

 private:
  template <class T>
  static void check_type(const Tensor& t) {
    CNNEXT_CHECK(t.scalar_type() == element_type<T>(),
                 "a tensor is taken for one of another dtype");
  }

  // Elements from the first to the last in memory.
  static int64_t extent(const Tensor& t) {
    int64_t last = 0;
    for (int64_t d = 0; d < t.dim(); ++d) last += (t.size(d) - 1) * t.stride(d);
    return t.numel() == 0 ? 0 : last + 1;
  }

  template <class T>
  void allow(const T* memory, int64_t elements, bool writable) const {
    cuda_on_cpu::allow(memory, static_cast<size_t>(elements) * sizeof(T), writable);
    allowed_.push_back(memory);
  }

  mutable std::vector<const void*> allowed_;
};

}  // namespace cnnext
