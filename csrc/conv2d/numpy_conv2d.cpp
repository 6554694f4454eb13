// SPDX-License-Identifier: BSD-3-Clause
// conv2d for NumPy arrays: see common/numpy/bindings.h. The filter has the strides `w_strides` (k,
// c, r, s) and no elements past the last that they reach. Kernels keep to the sums of exact_sums.h.
#include <type_traits>

#include "common/numpy/bindings.h"
#include "common/numpy/epilogue.h"
#include "common/numpy/prologue.h"
#include "conv2d/exact_sums.h"

namespace cnnext {

template <>
Conv2dShape read_shape<Conv2d>(Fields& f) {
  Conv2dShape s{f.positive("n"),          f.positive("c_in"),     f.natural("h_in"),
                f.natural("w_in"),        f.positive("c_out"),    f.positive("k_h"),
                f.positive("k_w"),        f.positive("stride_h"), f.positive("stride_w"),
                f.natural("pad_h"),       f.natural("pad_w"),     f.positive("dilation_h"),
                f.positive("dilation_w"), f.positive("groups"),   f.layout()};
  if (s.c_in % s.groups != 0 || s.c_out % s.groups != 0) {
    throw py::value_error("groups must divide c_in and c_out");
  }
  if (!s.rows().fit() || !s.columns().fit()) {
    throw py::value_error("the kernel is larger than the padded image");
  }
  s.pooled = f.flag("pooled");
  if (s.h_result() == 0 || s.w_result() == 0) {
    throw py::value_error("the outputs are fewer than a window of the pool");
  }
  s.y_rows = {f.natural_or_zero("y_first_row"), f.natural_or_zero("y_row_count")};
  s.x_in_planes = f.flag("x_in_planes");
  if (s.y_rows.first + s.y_rows.count > s.h_out()) throw py::value_error("y has fewer rows");
  return s;
}

namespace {

using Strides = std::array<int64_t, 4>;

int64_t w_size(const Conv2dShape& s, const Strides& strides) {
  const Strides sizes{s.c_out, s.c_in_per_group(), s.k_h, s.k_w};
  int64_t last = 0;
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (strides[d] < 1) throw py::value_error("w_strides must be positive");
    last += (sizes[d] - 1) * strides[d];
  }
  return last + 1;
}

py::array run(Pass pass, const std::string& name, const py::array& first, const py::array& second,
              const ForwardArguments& given, const Strides& w_strides, int threads, bool packed,
              const py::kwargs& shape) {
  const Conv2dShape s = shape_from<Conv2d>(shape);
  const int64_t outputs = s.n * s.h_out() * s.w_out();
  const int64_t results = s.n * s.h_result() * s.w_result();
  const ArraySpec x = pixels_of("x", s.n * s.h_in * s.w_in, s.c_in, s.layout, given.x_pixel);
  const ArraySpec w{"w", w_size(s, w_strides)};
  const ArraySpec y = pixels_of("y", results, s.c_out, s.layout, given.y_pixel);
  if (s.pooled && given.residual.has_value()) {
    throw py::value_error("a pooled result takes no residual");
  }
  const std::array<ArraySpec, 3> arrays = arrays_of(pass, x, w, y);
  return with_kernel<Conv2d>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in1 = input<T>(arrays[0], first), in2 = input<T>(arrays[1], second);
    const OwnedPrologue<T> prepare(given.prologue, s.n, s.c_in);
    const OwnedEpilogue<T> finish(given, outputs, s.c_out, s.layout);
    const Output<T> out(arrays[2].size);
    Conv2dOperands<T> o{in1.data(), in2.data(),    finish.get(),  out.data(),
                        {},         given.x_pixel, given.y_pixel, prepare.get()};
    std::copy(w_strides.begin(), w_strides.end(), o.w_strides);
    check_runs(kernel, pass, s, threads);
    if (o.prologue.exists() && !takes_prologue(kernel, s)) {
      throw py::value_error("kernel '" + name + "' takes no prologue for this shape");
    }
    if (s.y_rows.count > 0 && !takes_row_range(kernel, s)) {
      throw py::value_error("kernel '" + name + "' computes all rows of this shape or none");
    }
    if (s.x_in_planes && !takes_planes(kernel, s)) {
      throw py::value_error("kernel '" + name + "' reads no planes");
    }
    if constexpr (std::is_same_v<T, float>) {
      o.transforms = keep_exact(kernel, s, o, threads, run_on_std_threads);
    }
    run_isolated(kernel, s, o, threads, packed);
    return result(arrays[2].name, out, kernel.name);
  });
}

py::tuple choose(const py::array& x, const py::array& w, const py::dict& prologue, int64_t x_pixel,
                 const Strides& w_strides, int threads, const py::kwargs& shape) {
  const Conv2dShape s = shape_from<Conv2d>(shape);
  check_threads(threads);
  const auto in1 =
      input<float>(pixels_of("x", s.n * s.h_in * s.w_in, s.c_in, s.layout, x_pixel), x);
  const auto in2 = input<float>({"w", w_size(s, w_strides)}, w);
  const OwnedPrologue<float> prepare(prologue, s.n, s.c_in);
  Conv2dOperands<float> o{in1.data(), in2.data(), {}, nullptr, {}, x_pixel, 0, prepare.get()};
  std::copy(w_strides.begin(), w_strides.end(), o.w_strides);
  const auto choice = choose_conv2d(Pass::forward, s, o, threads, run_on_std_threads);
  const ValueFacts facts = look_at_all(Pass::forward, s, o, threads, run_on_std_threads);
  return py::make_tuple(choice.kernel->name, filter_kind_name(facts.filter), facts.tiles,
                        facts.plain_tiles);
}

void bind_gradient(py::module_& bindings, Pass pass, const char* second) {
  bindings.def(
      pass_name(pass),
      [pass](const std::string& name, const py::array& dy, const py::array& other,
             const Strides& w_strides, int threads, bool packed, const py::kwargs& shape) {
        return run(pass, name, dy, other, {}, w_strides, threads, packed, shape);
      },
      "name"_a, "dy"_a, py::arg(second), py::kw_only(), "w_strides"_a, "threads"_a = 1,
      "packed"_a = false);
}

void bind(py::module_& m) {
  py::module_ bindings = bind_operator<Conv2d>(m);
  bindings.def(
      "forward",
      [](const std::string& name, const py::array& x, const py::array& w,
         const std::optional<py::array>& b, const std::optional<py::array>& residual,
         const py::dict& epilogue, const py::dict& prologue, int64_t x_pixel, int64_t y_pixel,
         const Strides& w_strides, int threads, bool packed, const py::kwargs& shape) {
        return run(Pass::forward, name, x, w, {b, residual, epilogue, x_pixel, y_pixel, prologue},
                   w_strides, threads, packed, shape);
      },
      "name"_a, "x"_a, "w"_a, "b"_a = py::none(), py::kw_only(), "residual"_a = py::none(),
      "epilogue"_a = py::dict(), "prologue"_a = py::dict(), "x_pixel"_a = 0, "y_pixel"_a = 0,
      "w_strides"_a, "threads"_a = 1, "packed"_a = false);
  bindings.def("choose", &choose, "x"_a, "w"_a, py::kw_only(), "prologue"_a = py::dict(),
               "x_pixel"_a = 0, "w_strides"_a, "threads"_a = 1,
               "The name of the kernel that runs a forward pass of these values, and what is found "
               "in all of them: of the filter, how many tiles were looked at, and how many of them "
               "need plain sums.");
  bindings.def(
      "takes_prologue",
      [](const std::string& name, const py::kwargs& shape) {
        const Conv2dShape s = shape_from<Conv2d>(shape);
        return with_kernel<Conv2d>(
            name, [&](auto, const auto& kernel) { return takes_prologue(kernel, s); });
      },
      "name"_a);
  bindings.def(
      "takes_row_range",
      [](const std::string& name, const py::kwargs& shape) {
        const Conv2dShape s = shape_from<Conv2d>(shape);
        return with_kernel<Conv2d>(
            name, [&](auto, const auto& kernel) { return takes_row_range(kernel, s); });
      },
      "name"_a);
  bindings.def(
      "takes_planes",
      [](const std::string& name, const py::kwargs& shape) {
        const Conv2dShape s = shape_from<Conv2d>(shape);
        return with_kernel<Conv2d>(
            name, [&](auto, const auto& kernel) { return takes_planes(kernel, s); });
      },
      "name"_a);
  bind_gradient(bindings, Pass::bwd_input, "w");
  bind_gradient(bindings, Pass::bwd_weight, "x");
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
