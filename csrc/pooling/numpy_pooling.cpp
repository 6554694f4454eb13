// SPDX-License-Identifier: BSD-3-Clause
// The pools for NumPy arrays: see common/numpy/bindings.h. The positions of max_pool2d are an array
// of uint8 or int64, as the field `record` says, or None.
#include "common/numpy/bindings.h"
#include "pooling/adaptive_avg_pool2d.h"
#include "pooling/adaptive_max_pool2d.h"
#include "pooling/avg_pool2d.h"
#include "pooling/max_pool2d.h"
#include "pooling/max_unpool2d.h"
#include "pooling/roi_pool.h"

namespace cnnext {
namespace {

void check_windows(const SlidingWindows& windows, int64_t count) {
  if (2 * windows.pad > windows.taps || !windows.reach_inside(count)) {
    throw py::value_error("a window lies outside of the image");
  }
}

// The fields that both pools with sliding windows have.
template <class Shape>
Shape read_sliding_shape(Fields& f) {
  Shape s{f.positive("n"),        f.positive("c"),        f.positive("h_in"), f.positive("w_in"),
          f.positive("h_out"),    f.positive("w_out"),    f.positive("k_h"),  f.positive("k_w"),
          f.positive("stride_h"), f.positive("stride_w"), f.natural("pad_h"), f.natural("pad_w")};
  s.layout = f.layout();
  return s;
}

}  // namespace

template <>
AvgPool2dShape read_shape<AvgPool2d>(Fields& f) {
  AvgPool2dShape s = read_sliding_shape<AvgPool2dShape>(f);
  s.count_include_pad = f.choice<bool>("count_include_pad", {{"yes", true}, {"no", false}});
  s.divisor_override = f.at_least(INT64_MIN, "divisor_override");
  check_windows({s.h_in, s.k_h, s.stride_h, s.pad_h, 1}, s.h_out);
  check_windows({s.w_in, s.k_w, s.stride_w, s.pad_w, 1}, s.w_out);
  return s;
}

template <>
MaxPool2dShape read_shape<MaxPool2d>(Fields& f) {
  MaxPool2dShape s = read_sliding_shape<MaxPool2dShape>(f);
  s.dilation_h = f.positive("dilation_h");
  s.dilation_w = f.positive("dilation_w");
  s.record = f.choice<Record>(
      "record",
      {{"nothing", Record::nothing}, {"offsets", Record::offsets}, {"indices", Record::indices}});
  check_windows(s.rows(), s.h_out);
  check_windows(s.columns(), s.w_out);
  if (s.record == Record::offsets && !offsets_fit_byte(s.k_h, s.k_w)) {
    throw py::value_error("a byte cannot hold the offsets of a window this large");
  }
  return s;
}

template <>
AdaptivePoolShape read_shape<AdaptiveAvgPool2d>(Fields& f) {
  return {f.positive("n"),     f.positive("c"),     f.positive("h_in"), f.positive("w_in"),
          f.positive("h_out"), f.positive("w_out"), f.layout()};
}

template <>
AdaptivePoolShape read_shape<AdaptiveMaxPool2d>(Fields& f) {
  return read_shape<AdaptiveAvgPool2d>(f);
}

template <>
MaxUnpool2dShape read_shape<MaxUnpool2d>(Fields& f) {
  return {f.positive("n"),     f.positive("c"),     f.positive("h_in"), f.positive("w_in"),
          f.positive("h_out"), f.positive("w_out"), f.layout()};
}

template <>
RoiPoolShape read_shape<RoiPool>(Fields& f) {
  return {f.positive("n"),     f.positive("c"),           f.positive("h_in"),
          f.positive("w_in"),  f.natural("n_boxes"),      f.positive("h_out"),
          f.positive("w_out"), f.number("spatial_scale"), f.layout()};
}

namespace {

template <class Shape>
int64_t x_size(const Shape& s) {
  return s.n * s.c * s.h_in * s.w_in;
}

template <class Shape>
int64_t y_size(const Shape& s) {
  return s.n * s.c * s.h_out * s.w_out;
}

template <class Op>
void bind_average(py::module_& m) {
  py::module_ bindings = bind_operator<Op>(m);
  bindings.def(
      "forward",
      [](const std::string& name, const py::array& x, int threads, const py::kwargs& shape) {
        const auto s = shape_from<Op>(shape);
        return with_kernel<Op>(name, [&](auto zero, const auto& kernel) -> py::array {
          using T = decltype(zero);
          const Input<T> in = input<T>({"x", x_size(s)}, x);
          const Output<T> y(y_size(s));
          run_for_test(kernel, Pass::forward, s, {in.data(), y.data()}, threads);
          return result("y", y, kernel.name);
        });
      },
      "name"_a, "x"_a, py::kw_only(), "threads"_a = 1);
  bindings.def(
      "bwd_input",
      [](const std::string& name, const py::array& dy, int threads, const py::kwargs& shape) {
        const auto s = shape_from<Op>(shape);
        return with_kernel<Op>(name, [&](auto zero, const auto& kernel) -> py::array {
          using T = decltype(zero);
          const Input<T> in = input<T>({"dy", y_size(s)}, dy);
          const Output<T> dx(x_size(s));
          run_for_test(kernel, Pass::bwd_input, s, {in.data(), dx.data()}, threads);
          return result("dx", dx, kernel.name);
        });
      },
      "name"_a, "dy"_a, py::kw_only(), "threads"_a = 1);
}

py::tuple max_pool2d_forward(const std::string& name, const py::array& x, int threads,
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

py::array max_pool2d_backward(const std::string& name, const py::array& dy,
                              const py::array& positions, int threads, const py::kwargs& shape) {
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

void bind_max_pool2d(py::module_& m) {
  py::module_ bindings = bind_operator<MaxPool2d>(m);
  bindings.def("forward", &max_pool2d_forward, "name"_a, "x"_a, py::kw_only(), "threads"_a = 1,
               "Returns y and the positions.");
  bindings.def("bwd_input", &max_pool2d_backward, "name"_a, "dy"_a, "positions"_a, py::kw_only(),
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

py::tuple adaptive_max_pool2d_forward(const std::string& name, const py::array& x, bool record,
                                      int threads, const py::kwargs& shape) {
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

py::array adaptive_max_pool2d_backward(const std::string& name, const py::array& dy,
                                       const py::array& indices, int threads,
                                       const py::kwargs& shape) {
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

void bind_adaptive_max_pool2d(py::module_& m) {
  py::module_ bindings = bind_operator<AdaptiveMaxPool2d>(m);
  bindings.def("forward", &adaptive_max_pool2d_forward, "name"_a, "x"_a, "record"_a, py::kw_only(),
               "threads"_a = 1,
               "Returns y and the indices, or None if they are not to be recorded.");
  bindings.def("bwd_input", &adaptive_max_pool2d_backward, "name"_a, "dy"_a, "indices"_a,
               py::kw_only(), "threads"_a = 1);
}

py::tuple max_unpool2d_forward(const std::string& name, const py::array& x,
                               const py::array& indices, int threads, const py::kwargs& shape) {
  const MaxUnpool2dShape s = shape_from<MaxUnpool2d>(shape);
  return with_kernel<MaxUnpool2d>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in = input<T>({"x", x_size(s)}, x);
    const Input<int64_t> positions = input<int64_t>({"indices", x_size(s)}, indices);
    const Output<T> y(y_size(s));
    int64_t invalid = 0;
    run_for_test(kernel, Pass::forward, s, {in.data(), positions.data(), y.data(), &invalid},
                 threads);
    return py::make_tuple(result("y", y, kernel.name),
                          invalid == 0 ? py::object(py::none()) : py::int_(invalid));
  });
}

py::array max_unpool2d_backward(const std::string& name, const py::array& dy,
                                const py::array& indices, int threads, const py::kwargs& shape) {
  const MaxUnpool2dShape s = shape_from<MaxUnpool2d>(shape);
  return with_kernel<MaxUnpool2d>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in = input<T>({"dy", y_size(s)}, dy);
    const Input<int64_t> positions = input<int64_t>({"indices", x_size(s)}, indices);
    const Output<T> dx(x_size(s));
    run_for_test(kernel, Pass::bwd_input, s, {in.data(), positions.data(), dx.data(), nullptr},
                 threads);
    return result("dx", dx, kernel.name);
  });
}

void bind_max_unpool2d(py::module_& m) {
  py::module_ bindings = bind_operator<MaxUnpool2d>(m);
  bindings.def("forward", &max_unpool2d_forward, "name"_a, "x"_a, "indices"_a, py::kw_only(),
               "threads"_a = 1, "Returns y, and an index that is no position, or None.");
  bindings.def("bwd_input", &max_unpool2d_backward, "name"_a, "dy"_a, "indices"_a, py::kw_only(),
               "threads"_a = 1);
}

template <class T>
Input<T> boxes_input(const RoiPoolShape& s, const py::array& boxes) {
  Input<T> numbers = input<T>({"boxes", s.n_boxes * kBoxNumbers}, boxes);
  for (int64_t k = 0; k < s.n_boxes; ++k) {
    const T image = numbers.data()[k * kBoxNumbers];
    if (!(image > -1 && image < static_cast<T>(s.n))) {
      throw py::value_error("a box is of no image of the batch");
    }
  }
  return numbers;
}

py::tuple roi_pool_forward(const std::string& name, const py::array& x, const py::array& boxes,
                           bool record, int threads, const py::kwargs& shape) {
  const RoiPoolShape s = shape_from<RoiPool>(shape);
  return with_kernel<RoiPool>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in = input<T>({"x", x_size(s)}, x), of_boxes = boxes_input<T>(s, boxes);
    const Output<T> y(s.n_boxes * s.c * s.bins());
    const Output<int32_t> argmax(record ? y.size() : 0);
    run_for_test(kernel, Pass::forward, s,
                 {in.data(), of_boxes.data(), y.data(), record ? argmax.data() : nullptr}, threads);
    return py::make_tuple(result("y", y, kernel.name),
                          record ? py::object(result("argmax", argmax, kernel.name)) : py::none());
  });
}

py::array roi_pool_backward(const std::string& name, const py::array& dy, const py::array& boxes,
                            const py::array& argmax, int threads, const py::kwargs& shape) {
  const RoiPoolShape s = shape_from<RoiPool>(shape);
  return with_kernel<RoiPool>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const int64_t size = s.n_boxes * s.c * s.bins();
    const Input<T> in = input<T>({"dy", size}, dy), of_boxes = boxes_input<T>(s, boxes);
    const Input<int32_t> positions = input<int32_t>({"argmax", size}, argmax);
    const Output<T> dx(x_size(s));
    run_for_test(kernel, Pass::bwd_input, s,
                 {in.data(), of_boxes.data(), dx.data(), positions.data()}, threads);
    return result("dx", dx, kernel.name);
  });
}

void bind_roi_pool(py::module_& m) {
  py::module_ bindings = bind_operator<RoiPool>(m);
  bindings.def("forward", &roi_pool_forward, "name"_a, "x"_a, "boxes"_a, "record"_a, py::kw_only(),
               "threads"_a = 1,
               "Returns y and the positions, or None if they are not to be recorded.");
  bindings.def("bwd_input", &roi_pool_backward, "name"_a, "dy"_a, "boxes"_a, "argmax"_a,
               py::kw_only(), "threads"_a = 1);
}

[[maybe_unused]] const bool registered =
    register_bindings(bind_average<AvgPool2d>) &&
    register_bindings(bind_average<AdaptiveAvgPool2d>) && register_bindings(bind_max_pool2d) &&
    register_bindings(bind_adaptive_max_pool2d) && register_bindings(bind_max_unpool2d) &&
    register_bindings(bind_roi_pool);

}  // namespace
}  // namespace cnnext
