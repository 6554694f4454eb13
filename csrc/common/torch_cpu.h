// SPDX-License-Identifier: BSD-3-Clause
// The CPU as the adapters (torch_adapter.h of each operator) see a device: which element types its
// kernels take, how they get at a tensor's memory, how many threads they run on.
#pragma once

#include "common/parallel.h"
#include "common/torch_checks.h"

namespace cnnext {

class CpuDevice {
 public:
  explicit CpuDevice(const Tensor&) {}

  // Calls f(T()) with the element type of t.
  template <class F>
  static auto with_element_type(const Tensor& t, const F& f) {
    CNNEXT_CHECK(t.scalar_type() == ScalarType::Float || t.scalar_type() == ScalarType::Double,
                 "cnnext's CPU kernels take float32 and float64");
    return t.scalar_type() == ScalarType::Float ? f(float()) : f(double());
  }

  template <class T>
  const T* read(const Tensor& t) const {
    return static_cast<const T*>(t.const_data_ptr());  // leaves copy-on-write tensors shared
  }

  template <class T>
  const T* read(const std::optional<Tensor>& t) const {
    return t.has_value() ? read<T>(*t) : nullptr;
  }

  template <class T>
  T* write(const Tensor& t) const {
    return static_cast<T*>(t.mutable_data_ptr());
  }
};

// Waking another thread takes about two microseconds: the time of that many multiply-adds.
inline int useful_threads(double macs) { return macs < 1e5 ? 1 : torch_threads(); }

}  // namespace cnnext
