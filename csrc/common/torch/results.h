// SPDX-License-Identifier: BSD-3-Clause
// Memory for results: tensors that are not initialised yet. Large ones on the CPU come from the
// arena, where torch is 2.11 or newer.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <optional>
#include <vector>

#include "common/kernel/arena.h"
#include "common/kernel/huge_pages.h"
#include "common/torch/checks.h"

// Since 2.11, and weak, so that we load with 2.10 too. `deleter` is called with `data` and
// `deleter_ctx`.
extern "C" AOTITorchError torch_from_blob(
    void* data, int64_t ndim, const int64_t* sizes, const int64_t* strides, int64_t storage_offset,
    int32_t dtype, int32_t device_type, int32_t device_index, AtenTensorHandle* result,
    int32_t layout, const uint8_t* opaque_metadata, int64_t opaque_metadata_size,
    void (*deleter)(void* data, void* deleter_ctx), void* deleter_ctx) __attribute__((weak));

namespace cnnext {

inline void give_back_to_arena(void* block, void* bytes) {
  Arena::instance().give_back(block, reinterpret_cast<int64_t>(bytes));
}

// From the first element's begin to the last one's end; nothing where that is no number.
inline std::optional<int64_t> bytes_between(int64_t dim, const int64_t* sizes,
                                            const int64_t* strides, int64_t element_size) {
  int64_t elements = 1;
  for (int64_t d = 0; d < dim; ++d) {
    if (sizes[d] == 0) return 0;
    int64_t distance;
    if (__builtin_mul_overflow(sizes[d] - 1, strides[d], &distance) ||
        __builtin_add_overflow(elements, distance, &elements)) {
      return std::nullopt;
    }
  }
  int64_t bytes;
  if (__builtin_mul_overflow(elements, element_size, &bytes)) return std::nullopt;
  return bytes;
}

// On the device of `like`. The shim spares the look-up of aten::empty by name, a fifth of a small
// operator's time.
inline Tensor empty_strided(int64_t dim, const int64_t* sizes, const int64_t* strides,
                            const Tensor& like, ScalarType dtype) {
  AtenTensorHandle handle;
  int32_t device_type, device_index;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &device_type));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(like.get(), &device_index));
  const int32_t type = torch::stable::detail::to<int32_t>(torch::stable::detail::from(dtype));
  if (device_type != aoti_torch_device_type_cpu()) {
    STABLE_TORCH_ERROR_CODE_CHECK(
        aoti_torch_empty_strided(dim, sizes, strides, type, device_type, device_index, &handle));
    return Tensor(handle);
  }
  const std::optional<int64_t> bytes =
      bytes_between(dim, sizes, strides, aoti_torch_dtype_element_size(type));
  void* const block = torch_from_blob != nullptr && bytes.value_or(0) >= Arena::kLeast
                          ? Arena::instance().take(*bytes)
                          : nullptr;
  if (block != nullptr) {
    const AOTITorchError error =
        torch_from_blob(block, dim, sizes, strides, 0, type, device_type, device_index, &handle,
                        aoti_torch_layout_strided(), nullptr, 0, give_back_to_arena,
                        reinterpret_cast<void*>(*bytes));
    if (error != AOTI_TORCH_SUCCESS) give_back_to_arena(block, reinterpret_cast<void*>(*bytes));
    STABLE_TORCH_ERROR_CODE_CHECK(error);
    return Tensor(handle);
  }
  STABLE_TORCH_ERROR_CODE_CHECK(
      aoti_torch_empty_strided(dim, sizes, strides, type, device_type, device_index, &handle));
  const Tensor result(handle);
  prefer_huge_pages(result.mutable_data_ptr(), static_cast<size_t>(bytes.value_or(0)));
  return result;
}

// Empty and contiguous, of t's sizes but for the last.
inline Tensor empty_contiguous(const Tensor& t, int64_t last) {
  std::vector<int64_t> sizes(t.sizes().begin(), t.sizes().end());
  if (!sizes.empty()) sizes.back() = last;
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t d = sizes.size(); d > 1; --d) {
    strides[d - 2] = strides[d - 1] * (sizes[d - 1] > 1 ? sizes[d - 1] : 1);
  }
  return empty_strided(t.dim(), sizes.data(), strides.data(), t, t.scalar_type());
}

inline Tensor empty_1d(int64_t size, const Tensor& like, ScalarType dtype) {
  const int64_t stride = 1;
  return empty_strided(1, &size, &stride, like, dtype);
}

inline Tensor empty_2d(int64_t rows, int64_t columns, const Tensor& like) {
  const int64_t sizes[2] = {rows, columns};
  const int64_t strides[2] = {columns, 1};
  return empty_strided(2, sizes, strides, like, like.scalar_type());
}

inline void check_size(IntHeaderOnlyArrayRef sizes) {
  int64_t elements = 1;
  for (const int64_t size : sizes) {
    CNNEXT_CHECK(size == 0 || elements <= kMaxElements / size, "a result of shape ",
                 in_brackets(sizes), " is too large");
    elements *= size;
  }
}

// Empty and contiguous, of a volume.
inline Tensor empty_5d(int64_t n, int64_t c, int64_t d, int64_t h, int64_t w, const Tensor& like) {
  const int64_t sizes[5] = {n, c, d, h, w};
  check_size(sizes);
  const int64_t strides[5] = {c * d * h * w, d * h * w, h * w, w, 1};
  return empty_strided(5, sizes, strides, like, like.scalar_type());
}

inline Tensor empty_4d(int64_t n, int64_t c, int64_t h, int64_t w, Layout layout,
                       const Tensor& like, ScalarType dtype) {
  const int64_t sizes[4] = {n, c, h, w};
  check_size(sizes);
  const bool last = layout == Layout::channels_last;
  const int64_t strides[4] = {c * h * w, last ? 1 : h * w, last ? w * c : w, last ? c : 1};
  return empty_strided(4, sizes, strides, like, dtype);
}

inline Tensor empty_4d(int64_t n, int64_t c, int64_t h, int64_t w, Layout layout,
                       const Tensor& like) {
  return empty_4d(n, c, h, w, layout, like, like.scalar_type());
}

}  // namespace cnnext
