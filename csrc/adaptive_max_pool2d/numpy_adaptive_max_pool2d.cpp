// SPDX-License-Identifier: BSD-3-Clause
// adaptive_max_pool2d for NumPy arrays: see common/numpy/bindings.h.
#include "adaptive_max_pool2d/adaptive_max_pool2d.h"
#include "pooling/numpy_pools.h"

namespace cnnext {

template <>
AdaptivePoolShape read_shape<AdaptiveMaxPool2d>(Fields& f) {
  return adaptive_shape(f);
}

namespace {

py::tuple forward(const std::string& name, const py::array& x, bool record, int threads,
                  const py::kwargs& shape) {
  const AdaptivePoolShape s = shape_from<AdaptiveMaxPool2d>(shape);
  return with_kernel<AdaptiveMaxPool2d>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in = input<T>({"x", x_size(s)}, x);
    const Output<T> y(y_size(s));
    const Output<int64_t> indices(record ? y.size() : 0);
    run_for_test(kernel, Pass::forward, s, {in.data(), y.data(), record ? indices.data() : nullptr},
                 threads);
    return py::make_tuple(
        result("y", y, kernel.name),
        record ? py::object(result("indices", indices, kernel.name)) : py::none());
  });
}

py::array backward_input(const std::string& name, const py::array& dy, const py::array& indices,
                         int threads, const py::kwargs& shape) {
  const AdaptivePoolShape s = shape_from<AdaptiveMaxPool2d>(shape);
  return with_kernel<AdaptiveMaxPool2d>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in = input<T>({"dy", y_size(s)}, dy);
    const Input<int64_t> positions = input<int64_t>({"indices", y_size(s)}, indices);
    const Output<T> dx(x_size(s));
    run_for_test(kernel, Pass::bwd_input, s, {in.data(), dx.data(), positions.data()}, threads);
    return result("dx", dx, kernel.name);
  });
}

void bind(py::module_& m) {
  py::module_ bindings = bind_operator<AdaptiveMaxPool2d>(m);
  bindings.def("forward", &forward, "name"_a, "x"_a, "record"_a, py::kw_only(), "threads"_a = 1,
               "Returns y and the indices, or None if they are not to be recorded.");
  bindings.def("bwd_input", &backward_input, "name"_a, "dy"_a, "indices"_a, py::kw_only(),
               "threads"_a = 1);
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
