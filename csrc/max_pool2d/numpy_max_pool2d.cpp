// SPDX-License-Identifier: BSD-3-Clause
// max_pool2d for NumPy arrays: see common/numpy/bindings.h. Positions are an array of uint8 or
// int64, as the field `record` says, or None.
#include "max_pool2d/max_pool2d.h"
#include "pooling/numpy_pools.h"

namespace cnnext {

template <>
MaxPool2dShape read_shape<MaxPool2d>(Fields& f) {
  const MaxPool2dShape s{f.positive("n"),
                         f.positive("c"),
                         f.positive("h_in"),
                         f.positive("w_in"),
                         f.positive("h_out"),
                         f.positive("w_out"),
                         f.positive("k_h"),
                         f.positive("k_w"),
                         f.positive("stride_h"),
                         f.positive("stride_w"),
                         f.natural("pad_h"),
                         f.natural("pad_w"),
                         f.positive("dilation_h"),
                         f.positive("dilation_w"),
                         f.layout(),
                         f.choice<Record>("record", {{"nothing", Record::nothing},
                                                     {"offsets", Record::offsets},
                                                     {"indices", Record::indices}})};
  if (!windows_reach_inside(s.h_in, s.h_out, s.k_h, s.stride_h, s.pad_h, s.dilation_h) ||
      !windows_reach_inside(s.w_in, s.w_out, s.k_w, s.stride_w, s.pad_w, s.dilation_w)) {
    throw py::value_error("a window lies outside of the image");
  }
  if (s.record == Record::offsets && !offsets_fit_byte(s.k_h, s.k_w)) {
    throw py::value_error("a byte cannot hold the offsets of a window this large");
  }
  return s;
}

namespace {

py::tuple forward(const std::string& name, const py::array& x, int threads,
                  const py::kwargs& shape) {
  const MaxPool2dShape s = shape_from<MaxPool2d>(shape);
  return with_kernel<MaxPool2d>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in = input<T>({"x", x_size(s)}, x);
    const Output<T> y(y_size(s));
    const Output<uint8_t> offsets(s.record == Record::offsets ? y.size() : 0);
    const Output<int64_t> indices(s.record == Record::indices ? y.size() : 0);
    run_for_test(kernel, Pass::forward, s,
                 {in.data(), y.data(), s.record == Record::offsets ? offsets.data() : nullptr,
                  s.record == Record::indices ? indices.data() : nullptr},
                 threads);
    py::object positions = py::none();
    if (s.record == Record::offsets) positions = result("offsets", offsets, kernel.name);
    if (s.record == Record::indices) positions = result("indices", indices, kernel.name);
    return py::make_tuple(result("y", y, kernel.name), positions);
  });
}

py::array backward_input(const std::string& name, const py::array& dy, const py::array& positions,
                         int threads, const py::kwargs& shape) {
  const MaxPool2dShape s = shape_from<MaxPool2d>(shape);
  if (s.record == Record::nothing) throw py::value_error("bwd_input needs positions");
  return with_kernel<MaxPool2d>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in = input<T>({"dy", y_size(s)}, dy);
    std::optional<Input<uint8_t>> offsets;
    std::optional<Input<int64_t>> indices;
    if (s.record == Record::offsets) {
      offsets = input<uint8_t>({"positions", y_size(s)}, positions);
    } else {
      indices = input<int64_t>({"positions", y_size(s)}, positions);
    }
    const Output<T> dx(x_size(s));
    run_for_test(kernel, Pass::bwd_input, s,
                 {in.data(), dx.data(), data_or_null(offsets), data_or_null(indices)}, threads);
    return result("dx", dx, kernel.name);
  });
}

void bind(py::module_& m) {
  py::module_ bindings = bind_operator<MaxPool2d>(m);
  bindings.def("forward", &forward, "name"_a, "x"_a, py::kw_only(), "threads"_a = 1,
               "Returns y and the positions.");
  bindings.def("bwd_input", &backward_input, "name"_a, "dy"_a, "positions"_a, py::kw_only(),
               "threads"_a = 1);
  bindings.def(
      "expand_offsets",
      [](const py::array& offsets, const py::kwargs& shape) {
        const MaxPool2dShape s = shape_from<MaxPool2d>(shape);
        const Input<uint8_t> in = input<uint8_t>({"offsets", y_size(s)}, offsets);
        const Output<int64_t> indices(y_size(s));
        max_pool2d_expand_offsets(s, in.data(), indices.data());
        return result("indices", indices, "max_pool2d_expand_offsets");
      },
      "offsets"_a, "The indices that these window offsets stand for.");
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
