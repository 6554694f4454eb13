// SPDX-License-Identifier: BSD-3-Clause
// What every operator does with its list of kernels: choose one, and name them all.
#pragma once

#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "common/kernel/kernel.h"

namespace cnnext {

// An operator, to lists of kernels, selection, adapters and bindings. Its contract has one:
//
//   struct Relu {
//     static constexpr const char* kName = "relu";
//     using Shape = ReluShape;
//     template <class T> using Operands = ReluOperands<T>;
//     static double work(const Shape&);  // operations of a pass, by which threads are woken
//   };
template <class Op, class T>
using KernelOf = Kernel<typename Op::Shape, typename Op::template Operands<T>>;

// All kernels of Op whose elements are of type T, float or double.
template <class Op, class T>
const std::vector<KernelOf<Op, T>>& registry();

constexpr double kNotApplicable = std::numeric_limits<double>::infinity();

// Whether a shape asks for the max-pool of a result, as those may that have a field `pooled`.
template <class Shape, class = decltype(Shape::pooled)>
bool is_pooled(int, const Shape& shape) {
  return shape.pooled;
}
template <class Shape>
bool is_pooled(long, const Shape&) {
  return false;
}

// Forces `op` to use the kernel of that name for its pass; "" undoes this.
// Every registered kernel can thus be tested through both bindings.
void force_kernel(const std::string& op, const std::string& name);
std::string forced_kernel(const std::string& op);

// Narrows the choice for `op` to the kernels of an algorithm, as named in <op>_<algorithm>...,
// where one of them applies; "" undoes this.
void prefer_algorithm(const std::string& op, const std::string& algorithm);
std::string preferred_algorithm(const std::string& op);

// Another number after every change of these.
int64_t settings_number();

const char* pass_name(Pass pass);

// The usable kernel of least predicted time, which predict(kernel) tells in seconds. The order of
// the list carries no meaning: of two equal predictions the higher ISA wins, then the name. A
// forced kernel that does not fit is an error, never silently replaced.
template <class K, class Predict>
const K& select_kernel(const char* op, const std::vector<K>& kernels, Pass pass,
                       const Predict& predict) {
  const Isa isa = active_isa();
  const std::string forced = forced_kernel(op);
  const std::string preferred = preferred_algorithm(op);
  const std::string prefix = std::string(op) + '_' + preferred;
  struct Choice {
    const K* kernel = nullptr;
    double cost = kNotApplicable;

    void consider(const K& other, double other_cost) {
      const bool tie_won =
          kernel != nullptr && other_cost == cost &&
          (other.isa > kernel->isa ||
           (other.isa == kernel->isa && std::string(other.name) < std::string(kernel->name)));
      if (kernel == nullptr || other_cost < cost || tie_won) {
        kernel = &other;
        cost = other_cost;
      }
    }
  };
  Choice best, best_preferred;
  for (const K& kernel : kernels) {
    if (kernel.pass != pass || kernel.isa > isa) continue;
    const double cost = predict(kernel);
    if (cost == kNotApplicable) continue;
    if (!forced.empty()) {
      if (forced == kernel.name) return kernel;
    } else if (!preferred.empty()) {
      if (std::string(kernel.name).rfind(prefix, 0) == 0) best_preferred.consider(kernel, cost);
    }
    best.consider(kernel, cost);
  }
  for (const K& kernel : kernels) {
    if (!forced.empty() && forced == kernel.name && kernel.pass == pass) {
      throw std::runtime_error("kernel '" + forced + "' was requested, but does not apply to " +
                               "this shape or this machine");
    }
  }
  if (best.kernel == nullptr) {
    throw std::runtime_error(std::string(op) + ": no " + pass_name(pass) + " kernel applies");
  }
  return best_preferred.kernel != nullptr ? *best_preferred.kernel : *best.kernel;
}

// Which kernel runs: a pure function of shape, ISA and threads, and of a forced name or a preferred
// algorithm.
template <class Op, class T>
const KernelOf<Op, T>& select(Pass pass, const typename Op::Shape& shape, int threads) {
  return select_kernel(Op::kName, registry<Op, T>(), pass,
                       [&](const auto& kernel) { return kernel.cost(shape, threads).seconds; });
}

// One line a kernel: "name pass isa".
template <class K>
std::string lines_of(const std::vector<K>& kernels) {
  std::string lines;
  for (const K& kernel : kernels) {
    lines += std::string(kernel.name) + ' ' + pass_name(kernel.pass) + ' ' + isa_name(kernel.isa);
    lines += '\n';
  }
  return lines;
}

template <class Op>
std::string list_kernels() {
  return lines_of(registry<Op, float>()) + lines_of(registry<Op, double>());
}

}  // namespace cnnext
