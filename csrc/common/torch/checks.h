// SPDX-License-Identifier: BSD-3-Clause
// What the torch adapters share: checks, layouts, the choice of element type.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "common/kernel/kernel.h"

// The text names the operator's argument and its value; the condition itself says nothing to a
// user.
#define CNNEXT_CHECK(condition, ...) STD_TORCH_CHECK(condition, __VA_ARGS__)

namespace cnnext {

constexpr int64_t kMaxElements = int64_t{1} << 58;     // of a result: its bytes can be counted
constexpr int64_t kLargestStep = int64_t{1} << 40;     // of strides, paddings and dilations
constexpr int64_t kLargestPadding = kLargestStep / 4;  // no padded input is as long as that step

using torch::headeronly::IntHeaderOnlyArrayRef;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using torch::stable::detail::StableLibrary;

// Two operators of one signature. `op` has the autograd formula that cnnext/ops registers, for
// graphs; <op>_forward is bare, which costs a third, and what eager mode calls.
inline void define_forward(StableLibrary& m, const std::string& op, const std::string& signature) {
  m.def((op + signature).c_str());
  m.def((op + "_forward" + signature).c_str());
}
template <class Boxed>
void implement_forward(StableLibrary& m, const std::string& op, Boxed boxed) {
  m.impl(op.c_str(), boxed);
  m.impl((op + "_forward").c_str(), boxed);
}

// Sizes or strides as torch writes them: "[2, 3]".
inline std::string in_brackets(IntHeaderOnlyArrayRef values) {
  std::string text;
  for (const int64_t value : values) text += (text.empty() ? "" : ", ") + std::to_string(value);
  return "[" + text + "]";
}

inline std::string shape_text(const Tensor& t) { return in_brackets(t.sizes()); }

inline void check_dim(const Tensor& t, int64_t dim, const char* name) {
  CNNEXT_CHECK(t.dim() == dim, name, " must be ", dim, "-dimensional, but has shape ",
               shape_text(t));
}

inline void check_shape(const Tensor& t, IntHeaderOnlyArrayRef sizes, const char* name) {
  CNNEXT_CHECK(t.sizes() == sizes, name, " must have shape ", in_brackets(sizes),
               ", but has shape ", shape_text(t));
}

// Kernels run on these two.
inline std::string device_text(const Tensor& t) {
  return t.is_cpu() ? "cpu" : "cuda:" + std::to_string(t.get_device_index());
}

inline void check_device(const Tensor& t, const Tensor& like, const char* name) {
  CNNEXT_CHECK(t.device() == like.device(), name, " must be on ", device_text(like),
               " like the other operands, but is on ", device_text(t));
}

inline void check_like(const Tensor& t, const Tensor& like, const char* name) {
  CNNEXT_CHECK(t.scalar_type() == like.scalar_type(), name, " must have dtype ", like.scalar_type(),
               " like the other operands, but has ", t.scalar_type());
  check_device(t, like, name);
}

inline void check_positive(int64_t h, int64_t w, const char* name) {
  CNNEXT_CHECK(h > 0 && w > 0, name, " must be positive, but is (", h, ", ", w, ")");
}

inline void check_at_most(int64_t h, int64_t w, int64_t largest, const char* name) {
  CNNEXT_CHECK(h <= largest && w <= largest, name, " must not exceed ", largest, ", but is (", h,
               ", ", w, ")");
}

// A step longer than every padded input takes part in nothing, however long it is.
inline int64_t bounded_step(int64_t step) { return step < kLargestStep ? step : kLargestStep; }

// A storage can be resized under its tensors, which then reach for memory that is not theirs.
inline void check_allocated(const Tensor& t) {
  int64_t last = t.storage_offset();
  for (int64_t d = 0; d < t.dim(); ++d) {
    if (t.size(d) == 0) return;
    last += (t.size(d) - 1) * t.stride(d);
  }
  int64_t bytes;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_storage_size(t.get(), &bytes));
  CNNEXT_CHECK(last < bytes / static_cast<int64_t>(t.element_size()),
               "The tensor has a non-zero number of elements, but its data is not allocated yet: "
               "it reaches to element ",
               last, " of a storage of ", bytes, " bytes");
}

// ATen's rule (c10::is_channels_last_strides_2d): ascending strides in the order C, W, H, N.
inline bool prefers_channels_last(const Tensor& t) {
  if (t.dim() != 4 || t.stride(1) == 0) return false;
  int64_t min_stride = 0;
  for (const int64_t d : {1, 3, 2, 0}) {
    if (t.size(d) == 0 || t.stride(d) < min_stride) return false;
    if (d == 0 && min_stride == t.stride(1)) return false;  // N111 is ambiguous, hence not
    min_stride = t.stride(d) * (t.size(d) > 1 ? t.size(d) : 1);
  }
  return true;
}

inline Layout preferred_layout(const Tensor& t) {
  return prefers_channels_last(t) ? Layout::channels_last : Layout::nchw;
}

// Whether t is dense in `layout`; the strides of dimensions of size one mean nothing.
inline bool is_dense(const Tensor& t, Layout layout) {
  if (layout == Layout::nchw) return t.is_contiguous();
  int64_t stride = 1;
  for (const int64_t d : {1, 3, 2, 0}) {
    if (t.size(d) != 1 && t.stride(d) != stride) return false;
    stride *= t.size(d);
  }
  return true;
}

inline Tensor dense(const Tensor& t) {
  if (t.is_contiguous()) return t;
  check_allocated(t);
  return torch::stable::contiguous(t);
}

inline Tensor dense(const Tensor& t, Layout layout) {
  if (is_dense(t, layout)) return t;
  check_allocated(t);
  return torch::stable::contiguous(t, layout == Layout::nchw
                                          ? torch::headeronly::MemoryFormat::Contiguous
                                          : torch::headeronly::MemoryFormat::ChannelsLast);
}

// How an adapter's device gets at the memory of tensors for its kernels.
struct TensorMemory {
  template <class T>
  const T* read(const Tensor& t) const {
    check_allocated(t);
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

}  // namespace cnnext
