// SPDX-License-Identifier: BSD-3-Clause
// Normalisations for NumPy arrays: see common/numpy/bindings.h. The running statistics are given as
// they are before, and returned as they are afterwards.
#include <algorithm>

#include "common/numpy/bindings.h"
#include "normalization/batch_norm.h"

namespace cnnext {

template <>
BatchNormShape read_shape<BatchNorm>(Fields& f) {
  BatchNormShape s{};
  s.n = f.positive("n");
  s.c = f.positive("c");
  s.pixels = f.positive("pixels");
  s.layout = f.layout();
  s.training = f.flag("training");
  s.momentum = f.number("momentum");
  s.eps = f.number("eps");
  s.residual = f.flag("residual");
  s.activation = f.choice<Activation>(
      "activation",
      {{"none", Activation::none}, {"relu", Activation::relu}, {"clamp", Activation::clamp}});
  if (s.activation == Activation::clamp) {
    s.low = f.number("low");
    s.high = f.number("high");
  }
  return s;
}

namespace {

using Optional = std::optional<py::array>;

// Memory for what a kernel updates, with what it finds there.
template <class T>
std::optional<Output<T>> updated(const ArraySpec& spec, const Optional& array) {
  const std::optional<Input<T>> before = input<T>(spec, array);
  if (!before.has_value()) return std::nullopt;
  std::optional<Output<T>> after(std::in_place, spec.size);
  std::copy_n(before->data(), spec.size, after->data());
  return after;
}

// Memory for a result, if it is wanted.
template <class T>
std::optional<Output<T>> output_if(bool wanted, int64_t size) {
  return wanted ? std::optional<Output<T>>(std::in_place, size) : std::nullopt;
}

template <class T>
T* data_or_null(const std::optional<Output<T>>& output) {
  return output.has_value() ? output->data() : nullptr;
}

template <class T>
void put(py::dict& results, const char* name, const std::optional<Output<T>>& output,
         const char* kernel) {
  if (output.has_value()) results[name] = result(name, *output, kernel);
}

py::dict forward(const std::string& name, const py::array& x, const Optional& r,
                 const Optional& gamma, const Optional& beta, const Optional& mean,
                 const Optional& var, const Optional& running_mean, const Optional& running_var,
                 int threads, const py::kwargs& shape) {
  const BatchNormShape s = shape_from<BatchNorm>(shape);
  if (r.has_value() != s.residual) throw py::value_error("r must be given if residual says so");
  if (mean.has_value() == s.training || var.has_value() == s.training) {
    throw py::value_error("mean and var must be given unless training");
  }
  if ((running_mean.has_value() || running_var.has_value()) && !s.training) {
    throw py::value_error("running statistics must not be given unless training");
  }
  return with_kernel<BatchNorm>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> x_in = input<T>({"x", s.size()}, x);
    const std::optional<Input<T>> r_in = input<T>({"r", s.size()}, r);
    const std::optional<Input<T>> gamma_in = input<T>({"gamma", s.c}, gamma);
    const std::optional<Input<T>> beta_in = input<T>({"beta", s.c}, beta);
    const std::optional<Input<T>> mean_in = input<T>({"mean", s.c}, mean);
    const std::optional<Input<T>> var_in = input<T>({"var", s.c}, var);
    const auto new_running_mean = updated<T>({"running_mean", s.c}, running_mean);
    const auto new_running_var = updated<T>({"running_var", s.c}, running_var);
    const auto batch_mean = output_if<T>(s.training, s.c),
               batch_var = output_if<T>(s.training, s.c);
    const auto y = output_if<T>(true, s.size());
    BatchNormOperands<T> o{};
    o.x = x_in.data();
    o.r = data_or_null(r_in);
    o.gamma = data_or_null(gamma_in);
    o.beta = data_or_null(beta_in);
    o.mean = data_or_null(mean_in);
    o.var = data_or_null(var_in);
    o.batch_mean = data_or_null(batch_mean);
    o.batch_var = data_or_null(batch_var);
    o.running_mean = data_or_null(new_running_mean);
    o.running_var = data_or_null(new_running_var);
    o.y = data_or_null(y);
    run_for_test(kernel, Pass::forward, s, o, threads);
    py::dict results;
    put(results, "y", y, kernel.name);
    put(results, "batch_mean", batch_mean, kernel.name);
    put(results, "batch_var", batch_var, kernel.name);
    put(results, "running_mean", new_running_mean, kernel.name);
    put(results, "running_var", new_running_var, kernel.name);
    return results;
  });
}

py::dict backward(const std::string& name, const py::array& dy, const py::array& x,
                  const Optional& y, const Optional& gamma, const Optional& beta,
                  const py::array& mean, const py::array& var, bool need_dx, bool need_dr,
                  int threads, const py::kwargs& shape) {
  const BatchNormShape s = shape_from<BatchNorm>(shape);
  if (y.has_value() != (s.residual && s.activation != Activation::none)) {
    throw py::value_error("y must be given for a residual and an activation, and for nothing else");
  }
  if (need_dr && !s.residual) throw py::value_error("without a residual there is no dr");
  return with_kernel<BatchNorm>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> dy_in = input<T>({"dy", s.size()}, dy);
    const Input<T> x_in = input<T>({"x", s.size()}, x);
    const std::optional<Input<T>> y_in = input<T>({"y", s.size()}, y);
    const std::optional<Input<T>> gamma_in = input<T>({"gamma", s.c}, gamma);
    const std::optional<Input<T>> beta_in = input<T>({"beta", s.c}, beta);
    const Input<T> mean_in = input<T>({"mean", s.c}, mean);
    const Input<T> var_in = input<T>({"var", s.c}, var);
    const auto dx = output_if<T>(need_dx, s.size()), dr = output_if<T>(need_dr, s.size());
    const auto dgamma = output_if<T>(true, s.c), dbeta = output_if<T>(true, s.c);
    BatchNormOperands<T> o{};
    o.dy = dy_in.data();
    o.x = x_in.data();
    o.y = data_or_null(y_in);
    o.gamma = data_or_null(gamma_in);
    o.beta = data_or_null(beta_in);
    o.mean = mean_in.data();
    o.var = var_in.data();
    o.dx = data_or_null(dx);
    o.dr = data_or_null(dr);
    o.dgamma = data_or_null(dgamma);
    o.dbeta = data_or_null(dbeta);
    run_for_test(kernel, Pass::backward, s, o, threads);
    py::dict results;
    put(results, "dx", dx, kernel.name);
    put(results, "dr", dr, kernel.name);
    put(results, "dgamma", dgamma, kernel.name);
    put(results, "dbeta", dbeta, kernel.name);
    return results;
  });
}

void bind(py::module_& m) {
  py::module_ bindings = bind_operator<BatchNorm>(m);
  bindings.def("forward", &forward, "name"_a, "x"_a, "r"_a = py::none(), "gamma"_a = py::none(),
               "beta"_a = py::none(), "mean"_a = py::none(), "var"_a = py::none(),
               "running_mean"_a = py::none(), "running_var"_a = py::none(), py::kw_only(),
               "threads"_a = 1,
               "Returns y and, in training, batch_mean, batch_var and the running statistics that "
               "are given.");
  bindings.def("backward", &backward, "name"_a, "dy"_a, "x"_a, "y"_a, "gamma"_a, "beta"_a, "mean"_a,
               "var"_a, py::kw_only(), "need_dx"_a = true, "need_dr"_a = false, "threads"_a = 1,
               "Returns dx and dr, if they are wanted, dgamma and dbeta.");
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
