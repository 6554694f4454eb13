// SPDX-License-Identifier: BSD-3-Clause
// Batch normalisation for torch tensors on any device: (N, C, ...) in either layout.
#pragma once

#include <limits>
#include <tuple>

#include "common/torch/checks.h"
#include "common/torch/results.h"
#include "normalization/batch_norm.h"

namespace cnnext {
namespace normalization {

using Optional = std::optional<Tensor>;

// An activation by its bounds: none, a lower one (relu's is 0), or both (clamp).
inline void set_activation(BatchNormShape& s, std::optional<double> low,
                           std::optional<double> high) {
  s.activation = !low.has_value()    ? Activation::none
                 : !high.has_value() ? Activation::relu
                                     : Activation::clamp;
  CNNEXT_CHECK(low.has_value() || !high.has_value(), "high must not be given without low");
  CNNEXT_CHECK(s.activation != Activation::relu || *low == 0,
               "low must be 0 where high is not given, but is ", low.value_or(0));
  s.low = low.value_or(0);
  s.high = high.value_or(0);
}

inline BatchNormShape shape_of(const Tensor& input, bool training, double momentum, double eps,
                               std::optional<double> low, std::optional<double> high) {
  CNNEXT_CHECK(input.dim() >= 2 && input.dim() <= 4,
               "input must have 2 to 4 dimensions, but has shape ", shape_text(input));
  BatchNormShape s{};
  s.n = input.size(0);
  s.c = input.size(1);
  s.pixels = 1;
  for (int64_t d = 2; d < input.dim(); ++d) s.pixels *= input.size(d);
  // A row of channels for each image is channels_last as well.
  s.layout = input.dim() == 2 ? Layout::channels_last : preferred_layout(input);
  s.training = training;
  s.momentum = momentum;
  s.eps = eps;
  set_activation(s, low, high);
  return s;
}

inline Tensor dense_of(const BatchNormShape& s, const Tensor& t) {
  return t.dim() == 4 ? dense(t, s.layout) : dense(t);
}

inline Tensor empty_of(const BatchNormShape& s, const Tensor& like) {
  if (like.dim() == 4) {
    return empty_4d(s.n, s.c, like.size(2), like.size(3), s.layout, like);
  }
  return empty_contiguous(like, like.size(like.dim() - 1));
}

inline void check_channels(const BatchNormShape& s, const Optional& t, const Tensor& input,
                           const char* name) {
  if (!t.has_value()) return;
  check_like(*t, input, name);
  check_shape(*t, {s.c}, name);
}

inline Optional dense(const Optional& t) {
  return t.has_value() ? Optional(cnnext::dense(*t)) : std::nullopt;
}

// Checks a statistic that is written in place.
inline void check_running(const BatchNormShape& s, const Optional& t, const Tensor& input,
                          const char* name) {
  check_channels(s, t, input, name);
  if (!t.has_value()) return;
  CNNEXT_CHECK(t->is_contiguous(), name, " must be contiguous, but has strides ",
               in_brackets(t->strides()));
  check_allocated(*t);
}

// A statistic of no elements.
inline Tensor of_nothing(const Tensor& statistic) {
  return torch::stable::fill_(statistic, std::numeric_limits<double>::quiet_NaN());
}

// Returns the output, and in training mean and variance of the batch, else two empty tensors.
template <class Device>
std::tuple<Tensor, Tensor, Tensor> forward(const Tensor& input, const Optional& residual,
                                           const Optional& weight, const Optional& bias,
                                           const Optional& running_mean,
                                           const Optional& running_var, bool training,
                                           double momentum, double eps, std::optional<double> low,
                                           std::optional<double> high) {
  BatchNormShape s = shape_of(input, training, momentum, eps, low, high);
  s.residual = residual.has_value();
  check_channels(s, weight, input, "weight");
  check_channels(s, bias, input, "bias");
  check_running(s, running_mean, input, "running_mean");
  check_running(s, running_var, input, "running_var");
  CNNEXT_CHECK(training || (running_mean.has_value() && running_var.has_value()),
               "running_mean and running_var must be given unless training");
  const Tensor x = dense_of(s, input);
  Optional r;
  if (s.residual) {
    check_like(*residual, input, "residual");
    check_shape(*residual, input.sizes(), "residual");
    r = dense_of(s, *residual);
  }
  const Optional gamma = dense(weight), beta = dense(bias);
  const Tensor output = empty_of(s, x);
  const Tensor mean = empty_1d(training ? s.c : 0, x, x.scalar_type());
  const Tensor var = empty_1d(training ? s.c : 0, x, x.scalar_type());
  if (x.numel() == 0) return {output, of_nothing(mean), of_nothing(var)};
  Device::with_element_type(x, [&](auto zero) {
    using T = decltype(zero);
    const Device device(x);
    BatchNormOperands<T> o{};
    o.x = device.template read<T>(x);
    o.r = device.template read<T>(r);
    o.gamma = device.template read<T>(gamma);
    o.beta = device.template read<T>(beta);
    o.y = device.template write<T>(output);
    if (training) {
      o.batch_mean = device.template write<T>(mean);
      o.batch_var = device.template write<T>(var);
      if (running_mean.has_value()) o.running_mean = device.template write<T>(*running_mean);
      if (running_var.has_value()) o.running_var = device.template write<T>(*running_var);
    } else {
      o.mean = device.template read<T>(running_mean);
      o.var = device.template read<T>(running_var);
    }
    device.template compute<BatchNorm>(Pass::forward, s, o);
  });
  return {output, mean, var};
}

// The same without running statistics in training: of a graph, which updates them itself.
template <class Device>
std::tuple<Tensor, Tensor, Tensor> functional(const Tensor& input, const Optional& residual,
                                              const Optional& weight, const Optional& bias,
                                              const Optional& mean, const Optional& var,
                                              bool training, double eps, std::optional<double> low,
                                              std::optional<double> high) {
  const Optional none;
  return forward<Device>(input, residual, weight, bias, training ? none : mean,
                         training ? none : var, training, 0, eps, low, high);
}

// Returns the gradients of input and residual (each empty unless it is needed), weight and bias.
// `output` is that of the forward pass where it had a residual and bounds. With `into`, dense in
// the input's layout, that is the gradient of input; it may be grad_output itself.
template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor> backward_into(
    const Tensor* into, const Tensor& grad_output, const Tensor& input, const Optional& output,
    const Optional& weight, const Optional& bias, const Tensor& mean, const Tensor& var,
    bool training, double eps, std::optional<double> low, std::optional<double> high,
    bool need_input, bool need_residual) {
  BatchNormShape s = shape_of(input, training, 0, eps, low, high);
  s.residual = output.has_value() || need_residual;
  check_like(grad_output, input, "grad_output");
  check_shape(grad_output, input.sizes(), "grad_output");
  check_channels(s, weight, input, "weight");
  check_channels(s, bias, input, "bias");
  check_channels(s, mean, input, "mean");
  check_channels(s, var, input, "var");
  CNNEXT_CHECK(!s.residual || s.activation == Activation::none || output.has_value(),
               "output must be given where there was a residual");
  const Tensor x = dense_of(s, input), dy = dense_of(s, grad_output);
  Optional y;
  if (output.has_value()) {
    check_like(*output, input, "output");
    check_shape(*output, input.sizes(), "output");
    y = dense_of(s, *output);
  }
  const Optional gamma = dense(weight), beta = dense(bias);
  const Tensor mean_of_c = cnnext::dense(mean), var_of_c = cnnext::dense(var);
  const Tensor nothing = empty_1d(0, x, x.scalar_type());
  const Tensor dx = into != nullptr ? *into : need_input ? empty_of(s, x) : nothing;
  const Tensor dr = need_residual ? empty_of(s, x) : nothing;
  const Tensor dgamma = empty_1d(s.c, x, x.scalar_type());
  const Tensor dbeta = empty_1d(s.c, x, x.scalar_type());
  if (x.numel() == 0) {
    return {dx, dr, torch::stable::fill_(dgamma, 0), torch::stable::fill_(dbeta, 0)};
  }
  Device::with_element_type(x, [&](auto zero) {
    using T = decltype(zero);
    const Device device(x);
    BatchNormOperands<T> o{};
    o.x = device.template read<T>(x);
    o.y = const_cast<T*>(device.template read<T>(y));
    o.gamma = device.template read<T>(gamma);
    o.beta = device.template read<T>(beta);
    o.mean = device.template read<T>(mean_of_c);
    o.var = device.template read<T>(var_of_c);
    o.dy = device.template read<T>(dy);
    if (need_input) o.dx = device.template write<T>(dx);
    if (need_residual) o.dr = device.template write<T>(dr);
    o.dgamma = device.template write<T>(dgamma);
    o.dbeta = device.template write<T>(dbeta);
    device.template compute<BatchNorm>(Pass::backward, s, o);
  });
  return {dx, dr, dgamma, dbeta};
}

template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor> backward(
    const Tensor& grad_output, const Tensor& input, const Optional& output, const Optional& weight,
    const Optional& bias, const Tensor& mean, const Tensor& var, bool training, double eps,
    std::optional<double> low, std::optional<double> high, bool need_input, bool need_residual) {
  return backward_into<Device>(nullptr, grad_output, input, output, weight, bias, mean, var,
                               training, eps, low, high, need_input, need_residual);
}

// Takes no residual: self is the gradient of the output, and becomes that of the input. Returns
// those of weight and bias.
template <class Device>
std::tuple<Tensor, Tensor> backward_(const Tensor& self, const Tensor& input,
                                     const Optional& weight, const Optional& bias,
                                     const Tensor& mean, const Tensor& var, bool training,
                                     double eps, std::optional<double> low,
                                     std::optional<double> high) {
  CNNEXT_CHECK(self.dim() == 4 && input.dim() == 4 && is_dense(self, preferred_layout(input)),
               "self must be dense in the layout of input, but has strides ",
               in_brackets(self.strides()));
  check_allocated(self);
  auto [dx, dr, dgamma, dbeta] =
      backward_into<Device>(&self, self, input, std::nullopt, weight, bias, mean, var, training,
                            eps, low, high, true, false);
  return {dgamma, dbeta};
}

inline void define_operators(StableLibrary& m) {
  m.def(
      "batch_norm(Tensor input, Tensor? residual, Tensor? weight, Tensor? bias, Tensor? mean, "
      "Tensor? var, bool training, float eps, float? low, float? high) "
      "-> (Tensor, Tensor, Tensor)");
  m.def(
      "batch_norm_forward(Tensor input, Tensor? residual, Tensor? weight, Tensor? bias, "
      "Tensor(a!)? running_mean, Tensor(b!)? running_var, bool training, float momentum, "
      "float eps, float? low, float? high) -> (Tensor, Tensor, Tensor)");
  m.def(
      "batch_norm_backward(Tensor grad_output, Tensor input, Tensor? output, Tensor? weight, "
      "Tensor? bias, Tensor mean, Tensor var, bool training, float eps, float? low, float? high, "
      "bool need_input, bool need_residual) -> (Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "batch_norm_backward_(Tensor(a!) self, Tensor input, Tensor? weight, Tensor? bias, "
      "Tensor mean, Tensor var, bool training, float eps, float? low, float? high) "
      "-> (Tensor, Tensor)");
}

template <class Device>
void implement_operators(StableLibrary& m) {
  m.impl("batch_norm", TORCH_BOX(&functional<Device>));
  m.impl("batch_norm_forward", TORCH_BOX(&forward<Device>));
  m.impl("batch_norm_backward", TORCH_BOX(&backward<Device>));
  m.impl("batch_norm_backward_", TORCH_BOX(&backward_<Device>));
}

}  // namespace normalization
}  // namespace cnnext
