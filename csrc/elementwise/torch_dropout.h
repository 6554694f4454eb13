// SPDX-License-Identifier: BSD-3-Clause
// dropout for torch tensors on any device. Memory is walked through as by the other element-wise
// operators, in the order in which ATen draws.
#pragma once

#include <optional>
#include <tuple>

#include "elementwise/dropout.h"
#include "elementwise/torch_adapter.h"

namespace cnnext {
namespace elementwise {

inline void check_probability(double p) {
  CNNEXT_CHECK(p >= 0 && p < 1, "p must be at least 0 and less than 1, but is ", p);
}

// Empty, in the order of `like`, which is flat, and of its strides.
inline Tensor empty_as(const Tensor& like, ScalarType dtype) {
  return empty_strided(like.dim(), like.sizes().data(), like.strides().data(), like, dtype);
}

// Overwrites int64 numbers by all 64 bits that torch's default generator draws for an element, of
// which ATen's bernoulli_ takes the low 53. This is one call of torch's, which holds the
// generator's lock: a state that is read, continued and written back could undo what another thread
// draws in between.
inline void draw(const Tensor& numbers) {
  using torch::stable::detail::from;
  StableIValue stack[4] = {from(numbers), from(int64_t{INT64_MIN}), from(std::nullopt),
                           from(std::nullopt)};
  STABLE_TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::random_", "from", stack, TORCH_ABI_VERSION));
  torch::stable::detail::to<Tensor>(stack[0]);  // the numbers, which are ours to release
}

// The output, and the mask in the same order. Numbers are drawn for a block at a time, which stays
// in the cache.
template <class Device>
std::tuple<Tensor, Tensor> dropout(const Tensor& input, double p) {
  constexpr int64_t kBlock = 16 * 1024;
  check_probability(p);
  const Tensor x = flat(input);
  const Tensor output = empty_as(x), mask = empty_as(output, ScalarType::Byte);
  const int64_t size = output.numel();
  if (size == 0) return {output, mask};
  Device::with_element_type(output, [&](auto zero) {
    using T = decltype(zero);
    const Device device(output);
    const T* const from = device.template read<T>(x);
    T* const to = device.template write<T>(output);
    uint8_t* const new_mask = device.template write<uint8_t>(mask);
    Tensor numbers = empty_1d(min(size, kBlock), x, ScalarType::Long);
    for (int64_t begin = 0; begin < size; begin += kBlock) {
      const int64_t count = min(kBlock, size - begin);
      if (count < numbers.numel()) numbers = torch::stable::narrow(numbers, 0, 0, count);
      draw(numbers);
      const DropoutOperands<T> o{from + begin, to + begin, device.template read<int64_t>(numbers),
                                 new_mask + begin, nullptr};
      device.template compute<Dropout>(Pass::forward, DropoutShape{count, 1 - p}, o);
    }
  });
  return {output, mask};
}

template <class Device>
Tensor dropout_backward(const Tensor& grad_output, const Tensor& mask, double p) {
  check_probability(p);
  CNNEXT_CHECK(mask.scalar_type() == ScalarType::Byte, "mask must have dtype Byte, but has ",
               mask.scalar_type());
  check_device(mask, grad_output, "mask");
  check_shape(grad_output, mask.sizes(), "grad_output");
  const Tensor kept = flat(mask);
  const Tensor grad_input = empty_as(kept, grad_output.scalar_type());
  const Tensor dy = flat_as(grad_output, grad_input);
  if (dy.numel() == 0) return grad_input;
  Device::with_element_type(dy, [&](auto zero) {
    using T = decltype(zero);
    const Device device(dy);
    const DropoutOperands<T> o{device.template read<T>(dy), device.template write<T>(grad_input),
                               nullptr, nullptr, device.template read<uint8_t>(kept)};
    device.template compute<Dropout>(Pass::bwd_input, DropoutShape{dy.numel(), 1 - p}, o);
  });
  return grad_input;
}

inline void define_dropout(StableLibrary& m) {
  m.def("dropout_forward(Tensor input, float p) -> (Tensor, Tensor)");
  m.def("dropout_backward(Tensor grad_output, Tensor mask, float p) -> Tensor");
}

template <class Device>
void implement_dropout(StableLibrary& m) {
  m.impl("dropout_forward", TORCH_BOX(&dropout<Device>));
  m.impl("dropout_backward", TORCH_BOX(&dropout_backward<Device>));
}

}  // namespace elementwise
}  // namespace cnnext
