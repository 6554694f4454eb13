// SPDX-License-Identifier: BSD-3-Clause
// What the operators' NumPy bindings share. They are a submodule of _kernels named as the operator
//
//   kernels() -> [(name, pass, isa, dtype)]
//   cost(name, *, threads, **shape), plan(name, *, threads, **shape)
//   select(pass, dtype, *, threads, **shape) -> name
//
// and, for each pass, a function of that name which runs any kernel of that pass:
//
//   <pass>(name, <arrays as the contract names them>, *, threads, **shape)
//
// `shape` is the fields of the operator's shape. An array is a piece of memory: it must be
// C-contiguous and have as many elements as the shape says, but its own shape means nothing;
// results are flat.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/kernel/registry.h"
#include "common/kernel/run.h"
#include "common/numpy/memory.h"

namespace cnnext {

namespace py = pybind11;
using namespace py::literals;

// Bindings register themselves: static const bool registered = register_bindings(bind);
using BindOperator = void (*)(py::module_&);
bool register_bindings(BindOperator bind);

// The fields of a shape, taken one by one from keyword arguments.
class Fields {
 public:
  explicit Fields(const py::kwargs& fields) : fields_(fields.attr("copy")()) {}

  int64_t at_least(int64_t minimum, const char* name) {
    const int64_t value = take(name).cast<int64_t>();
    if (value < minimum) {
      throw py::value_error(std::string(name) + " must be at least " + std::to_string(minimum) +
                            ", but is " + std::to_string(value));
    }
    return value;
  }
  int64_t positive(const char* name) { return at_least(1, name); }
  int64_t natural(const char* name) { return at_least(0, name); }
  // Zero, unless it is given.
  int64_t natural_or_zero(const char* name) { return fields_.contains(name) ? natural(name) : 0; }
  double number(const char* name) { return take(name).cast<double>(); }
  // False, unless it is given.
  bool flag(const char* name) { return fields_.contains(name) && take(name).cast<bool>(); }

  // The enumerator that the string names.
  template <class Enum>
  Enum choice(const char* name, std::initializer_list<std::pair<const char*, Enum>> choices) {
    const std::string value = take(name).cast<std::string>();
    for (const auto& [key, enumerator] : choices) {
      if (value == key) return enumerator;
    }
    throw py::value_error(std::string(name) + " cannot be '" + value + "'");
  }
  Layout layout(const char* name = "layout") {
    return choice<Layout>(name, {{"nchw", Layout::nchw}, {"channels_last", Layout::channels_last}});
  }

  void expect_none_left() const {
    for (const auto& [name, value] : fields_) {
      throw py::type_error("the shape has no field '" + name.cast<std::string>() + "'");
    }
  }

 private:
  py::object take(const char* name) {
    if (!fields_.contains(name)) {
      throw py::type_error(std::string("the shape lacks its field '") + name + "'");
    }
    return fields_.attr("pop")(name);
  }

  py::dict fields_;
};

// Each operator's bindings define it.
template <class Op>
typename Op::Shape read_shape(Fields& fields);

template <class Op>
typename Op::Shape shape_from(const py::kwargs& keywords) {
  Fields fields(keywords);
  const typename Op::Shape shape = read_shape<Op>(fields);
  fields.expect_none_left();
  return shape;
}

// What an array is called and how many elements it must have.
struct ArraySpec {
  const char* name;
  int64_t size;
};

// An array of pixels, from one of which to the next it is `given` elements (pixel_distance).
inline ArraySpec pixels_of(const char* name, int64_t pixels, int64_t channels, Layout layout,
                           int64_t given) {
  const int64_t minimum = layout == Layout::nchw ? 0 : channels;
  if (given != 0 && (given < minimum || minimum == 0)) {
    const std::string limit = minimum == 0 ? "" : " or at least " + std::to_string(minimum);
    throw py::value_error(std::string(name) + "_pixel must be 0" + limit + ", but is " +
                          std::to_string(given));
  }
  if (pixels == 0) return {name, 0};
  return {name, (pixels - 1) * pixel_distance(given, channels) + channels};
}

// The first and second operand and the result of a pass of an operator that is linear in x and w.
inline std::array<ArraySpec, 3> arrays_of(Pass pass, const ArraySpec& x, const ArraySpec& w,
                                          const ArraySpec& y) {
  const ArraySpec dx{"dx", x.size}, dw{"dw", w.size}, dy{"dy", y.size};
  if (pass == Pass::forward) return {x, w, y};
  if (pass == Pass::bwd_input) return {dy, w, dx};
  return {dy, x, dw};
}

template <class T>
Input<T> input(const ArraySpec& spec, const py::array& array) {
  if (!py::isinstance<py::array_t<T, py::array::c_style>>(array)) {
    throw py::type_error(std::string(spec.name) + " must be a C-contiguous array of " +
                         py::str(py::dtype::of<T>()).cast<std::string>());
  }
  if (array.size() != spec.size) {
    throw py::value_error(std::string(spec.name) + " must have " + std::to_string(spec.size) +
                          " elements, but has " + std::to_string(array.size()));
  }
  return Input<T>(static_cast<const T*>(array.data()), spec.size);
}

template <class T>
std::optional<Input<T>> input(const ArraySpec& spec, const std::optional<py::array>& array) {
  if (!array.has_value()) return std::nullopt;
  return input<T>(spec, *array);
}

template <class T>
T* data_or_null(const std::optional<Input<T>>& input) {
  return input.has_value() ? input->data() : nullptr;
}

template <class T>
py::array result(const char* name, const Output<T>& output, const char* kernel) {
  if (!output.is_intact()) {
    throw std::runtime_error(std::string("kernel '") + kernel + "' wrote outside of " + name);
  }
  return py::array_t<T>(output.size(), output.data());
}

// Returns f(zero, kernel), zero telling the type of the elements.
template <class Op, class F>
auto with_kernel(const std::string& name, F&& f) {
  for (const auto& kernel : registry<Op, float>()) {
    if (name == kernel.name) return f(0.0f, kernel);
  }
  for (const auto& kernel : registry<Op, double>()) {
    if (name == kernel.name) return f(0.0, kernel);
  }
  throw py::value_error(std::string(Op::kName) + " has no kernel '" + name + "'");
}

inline void check_threads(int threads) {
  if (threads < 1) throw py::value_error("threads must be positive");
}

template <class K>
void check_applies(const K& kernel, const typename K::Shape& shape, int threads) {
  check_threads(threads);
  const std::string subject = std::string("kernel '") + kernel.name + "' ";
  if (kernel.isa > active_isa()) {
    throw py::value_error(subject + "needs " + isa_name(kernel.isa) + ", but the active ISA is " +
                          isa_name(active_isa()));
  }
  if (kernel.cost(shape, threads).seconds == kNotApplicable) {
    throw py::value_error(subject + "does not apply to this shape");
  }
}

template <class Operands>
auto replace_weights(Operands& operands, const void* weights) -> decltype(void(operands.second)) {
  operands.second = static_cast<decltype(operands.second)>(weights);
}
inline void replace_weights(...) {}

// A kernel with every piece of memory that it does not own guarded: a chunk's scratch is its own,
// and what a plan gives out as weights cannot be written any more once they are packed.
template <class K>
class IsolatedKernel {
 public:
  using Shape = typename K::Shape;
  using Operands = typename K::Operands;

  // With `packs` the weights are packed even if the kernel could run without.
  IsolatedKernel(const K& kernel, const Shape& shape, int threads, bool packs)
      : kernel_(kernel),
        plan_(kernel.plan(shape, threads)),
        packs_(plan_.weights.exists() && (packs || !plan_.weights.optional)),
        packed_(packs_ ? plan_.weights.bytes : 0, kAlignment),
        shared_(plan_.shared_bytes, kAlignment) {}

  template <class Parallel>
  void run_all(const Shape& shape, const Operands& operands, int threads, Parallel&& parallel) {
    Plan plan = plan_;
    plan.shared_bytes = plan.chunk_bytes = plan.weights.chunk_bytes = 0;
    Operands seen = operands;
    if (packs_) {
      pack_weights(*this, shape, plan, operands, packed_.data(), threads, nullptr, parallel);
      packed_.forbid_writes();
      if (plan_.weights.complete) replace_weights(seen, nothing_.data());
    }
    run_planned(*this, shape, plan, seen, packs_ ? packed_.data() : nullptr, threads, nullptr,
                parallel);
    check_memory();
  }

  void pack(const Shape& shape, const Plan&, const Operands& operands, Slice slice) const {
    const GuardedMemory chunk(plan_.weights.chunk_bytes, kAlignment);
    slice.chunk = chunk.data();
    kernel_.pack(shape, plan_, operands, slice);
    if (!chunk.is_intact()) chunks_are_intact_ = false;
  }

  void run(const Shape& shape, const Plan&, const Operands& operands, Slice slice) const {
    const GuardedMemory chunk(plan_.chunk_bytes, kAlignment);
    slice.shared = shared_.data();
    slice.chunk = chunk.data();
    kernel_.run(shape, plan_, operands, slice);
    if (!chunk.is_intact()) chunks_are_intact_ = false;
  }

 private:
  static constexpr int64_t kAlignment = 64;

  const K& kernel_;
  Plan plan_;
  bool packs_;
  GuardedMemory packed_, shared_;
  GuardedMemory nothing_{0, kAlignment};
  mutable std::atomic<bool> chunks_are_intact_{true};

  void check_memory() const {
    const char* const which = !packed_.is_intact()   ? "packed weights"
                              : !shared_.is_intact() ? "shared scratch"
                              : !chunks_are_intact_  ? "private scratch"
                                                     : nullptr;
    if (which == nullptr) return;
    throw std::runtime_error(std::string("kernel '") + kernel_.name + "' wrote outside of its " +
                             which);
  }
};

// One thread a chunk. Threads of the standard library, whose start and end every tool understands.
inline void run_on_std_threads(int64_t chunks, const std::function<void(int64_t)>& body) {
  std::vector<std::thread> threads;
  for (int64_t i = 1; i < chunks; ++i) threads.emplace_back(std::cref(body), i);
  if (chunks > 0) body(0);
  for (std::thread& thread : threads) thread.join();
}

template <class K>
void check_runs(const K& kernel, Pass pass, const typename K::Shape& shape, int threads) {
  if (kernel.pass != pass) {
    throw py::value_error(std::string("kernel '") + kernel.name + "' is of pass " +
                          pass_name(kernel.pass) + ", not " + pass_name(pass));
  }
  check_applies(kernel, shape, threads);
}

template <class K>
void run_isolated(const K& kernel, const typename K::Shape& shape,
                  const typename K::Operands& operands, int threads, bool packs = false) {
  const py::gil_scoped_release released;
  IsolatedKernel<K>(kernel, shape, threads, packs)
      .run_all(shape, operands, threads,
               [](int64_t chunks, const auto& body) { run_on_std_threads(chunks, body); });
}

template <class K>
void run_for_test(const K& kernel, Pass pass, const typename K::Shape& shape,
                  const typename K::Operands& operands, int threads, bool packs = false) {
  check_runs(kernel, pass, shape, threads);
  run_isolated(kernel, shape, operands, threads, packs);
}

template <class Op, class T>
void append_kernels(py::list& list) {
  for (const auto& kernel : registry<Op, T>()) {
    list.append(py::make_tuple(kernel.name, pass_name(kernel.pass), isa_name(kernel.isa),
                               py::str(py::dtype::of<T>())));
  }
}

template <class Op, class T>
const char* select_name(const std::string& pass, const typename Op::Shape& shape, int threads) {
  for (Pass each : {Pass::forward, Pass::bwd_input, Pass::bwd_weight, Pass::backward}) {
    if (pass == pass_name(each)) return select<Op, T>(each, shape, threads).name;
  }
  throw py::value_error("there is no pass '" + pass + "'");
}

// The part of the bindings that is the same for all.
template <class Op>
py::module_ bind_operator(py::module_& m) {
  py::module_ bindings = m.def_submodule(Op::kName);
  bindings.def(
      "kernels",
      [] {
        py::list list;
        append_kernels<Op, float>(list);
        append_kernels<Op, double>(list);
        return list;
      },
      "All kernels as tuples (name, pass, isa, dtype).");
  bindings.def(
      "cost",
      [](const std::string& name, int threads, const py::kwargs& shape) {
        check_threads(threads);
        const typename Op::Shape s = shape_from<Op>(shape);
        return with_kernel<Op>(
            name, [&](auto, const auto& kernel) { return kernel.cost(s, threads).seconds; });
      },
      "name"_a, py::kw_only(), "threads"_a = 1,
      "The predicted seconds; infinite if the kernel does not apply to the shape.");
  bindings.def(
      "plan",
      [](const std::string& name, int threads, const py::kwargs& shape) {
        const typename Op::Shape s = shape_from<Op>(shape);
        return with_kernel<Op>(name, [&](auto, const auto& kernel) {
          check_applies(kernel, s, threads);
          const Plan plan = kernel.plan(s, threads);
          return py::dict("phases"_a = plan.n_phases,
                          "tasks"_a = std::vector(plan.tasks, plan.tasks + plan.n_phases),
                          "packing_tasks"_a = plan.weights.tasks,
                          "shared_bytes"_a = plan.shared_bytes, "chunk_bytes"_a = plan.chunk_bytes,
                          "packed_bytes"_a = plan.weights.bytes,
                          "packing_is_optional"_a = plan.weights.optional);
        });
      },
      "name"_a, py::kw_only(), "threads"_a = 1,
      "How the kernel wants to be run: its phases, tasks of each, bytes of scratch and of weights "
      "that it packs.");
  bindings.def(
      "select",
      [](const std::string& pass, const std::string& dtype, int threads, const py::kwargs& shape) {
        check_threads(threads);
        const typename Op::Shape s = shape_from<Op>(shape);
        if (dtype == "float32") return select_name<Op, float>(pass, s, threads);
        if (dtype == "float64") return select_name<Op, double>(pass, s, threads);
        throw py::value_error("dtype must be float32 or float64, but is " + dtype);
      },
      "pass"_a, "dtype"_a, py::kw_only(), "threads"_a = 1,
      "The name of the kernel that an adapter would run.");
  return bindings;
}

}  // namespace cnnext
