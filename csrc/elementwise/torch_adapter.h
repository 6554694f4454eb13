// SPDX-License-Identifier: BSD-3-Clause
// Element-wise operators for torch tensors on any device. A tensor that fills its memory is a flat
// array, whatever the order of its dimensions, and so is the result, in the same order; the rest is
// copied first.
#pragma once

#include <string>
#include <utility>

#include "common/torch/checks.h"
#include "common/torch/results.h"
#include "elementwise/operators.h"

namespace cnnext {
namespace elementwise {

// Whether the elements fill their memory without gaps or overlaps.
inline bool is_flat(const Tensor& t) {
  if (t.is_contiguous()) return true;
  int64_t stride = 1;
  for (bool found = true; found && stride < t.numel();) {
    found = false;
    for (int64_t d = 0; d < t.dim() && !found; ++d) {
      found = t.size(d) > 1 && t.stride(d) == stride;
      if (found) stride *= t.size(d);
    }
  }
  return stride == t.numel();
}

// Empty, in the order of `t`, which is flat; where strides are ambiguous, as ATen chooses them.
inline Tensor empty_as(const Tensor& t) {
  if (t.is_contiguous()) return empty_contiguous(t, t.dim() == 0 ? 1 : t.size(t.dim() - 1));
  if (t.dim() == 4 && is_dense(t, Layout::channels_last)) {
    return empty_4d(t.size(0), t.size(1), t.size(2), t.size(3), Layout::channels_last, t);
  }
  return empty_strided(t.dim(), t.sizes().data(), t.strides().data(), t, t.scalar_type());
}

// t, or a copy that keeps the order of its dimensions in memory.
inline Tensor flat(const Tensor& t) {
  if (is_flat(t)) return t;
  check_allocated(t);
  return torch::stable::clone(t);
}

// t, or a copy with the strides of `like`, which is flat and has t's shape.
inline Tensor flat_as(const Tensor& t, const Tensor& like) {
  bool same = true;
  for (int64_t d = 0; d < t.dim(); ++d) {
    same = same && (t.size(d) <= 1 || t.stride(d) == like.stride(d));
  }
  if (same) return t;
  check_allocated(t);
  Tensor copy = empty_as(like);
  torch::stable::copy_(copy, t);
  return copy;
}

template <class Op, class Device>
void run(Pass pass, const Tensor& first, const Tensor* second, const Tensor& result,
         const typename Op::Parameters& parameters) {
  if (result.numel() == 0) return;
  Device::with_element_type(result, [&](auto zero) {
    using T = decltype(zero);
    const Device device(result);
    const ElementwiseOperands<T> o{device.template read<T>(first),
                                   second == nullptr ? nullptr : device.template read<T>(*second),
                                   device.template write<T>(result)};
    device.template compute<Op>(pass, ElementwiseShape<Op>{result.numel(), parameters}, o);
  });
}

// The operators of Op, whose parameters are numbers at the end of their arguments.
template <class Op, class Device, class Numbered>
struct Functions;

template <size_t>
using Number = double;

template <class Op, class Device, size_t... I>
struct Functions<Op, Device, std::index_sequence<I...>> {
  static Tensor forward(const Tensor& input, Number<I>... parameters) {
    const Tensor x = flat(input);
    const Tensor output = empty_as(x);
    run<Op, Device>(Pass::forward, x, nullptr, output, {parameters...});
    return output;
  }

  static void forward_(const Tensor& self, Number<I>... parameters) {
    CNNEXT_CHECK(is_flat(self), Op::kName,
                 "_: self must be dense, without gaps or overlaps, but has shape ",
                 shape_text(self), " and strides ", in_brackets(self.strides()));
    run<Op, Device>(Pass::forward, self, nullptr, self, {parameters...});
  }

  static Tensor backward(const Tensor& grad_output, const Tensor& saved, Number<I>... parameters) {
    check_like(saved, grad_output, Op::kSaved);
    check_shape(grad_output, saved.sizes(), "grad_output");
    const Tensor from = flat(saved);
    const Tensor dy = flat_as(grad_output, from);
    const Tensor grad_input = empty_as(from);
    run<Op, Device>(Pass::bwd_input, dy, &from, grad_input, {parameters...});
    return grad_input;
  }
};

template <class Op>
void define_operator(StableLibrary& m) {
  const std::string op = Op::kName;
  std::string parameters;
  for (int i = 0; i < Op::Parameters::kCount; ++i) {
    parameters += std::string(", float ") + Op::Parameters::kNames[i];
  }
  const std::string tensors = "_backward(Tensor grad_output, Tensor " + std::string(Op::kSaved);
  define_forward(m, op, "(Tensor input" + parameters + ") -> Tensor");
  if (Op::kInPlace) m.def((op + "_(Tensor(a!) self" + parameters + ") -> ()").c_str());
  m.def((op + tensors + parameters + ") -> Tensor").c_str());
}

template <class Op, class Device>
void implement_operator(StableLibrary& m) {
  using F = Functions<Op, Device, std::make_index_sequence<Op::Parameters::kCount>>;
  const std::string op = Op::kName;
  implement_forward(m, op, TORCH_BOX(&F::forward));
  if (Op::kInPlace) m.impl((op + "_").c_str(), TORCH_BOX(&F::forward_));
  m.impl((op + "_backward").c_str(), TORCH_BOX(&F::backward));
}

inline void define_operators(StableLibrary& m) {
#define CNNEXT_DEFINE(Op, op) define_operator<Op>(m);
  CNNEXT_FOR_ELEMENTWISE(CNNEXT_DEFINE)
#undef CNNEXT_DEFINE
}

template <class Device>
void implement_operators(StableLibrary& m) {
#define CNNEXT_IMPLEMENT(Op, op) implement_operator<Op, Device>(m);
  CNNEXT_FOR_ELEMENTWISE(CNNEXT_IMPLEMENT)
#undef CNNEXT_IMPLEMENT
}

}  // namespace elementwise
}  // namespace cnnext
