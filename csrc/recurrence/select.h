// SPDX-License-Identifier: BSD-3-Clause
// Which recurrence kernel runs: a pure function of shape, ISA and threads (and of a forced name).
#pragma once

#include <string>
#include <vector>

#include "common/kernel/registry.h"
#include "recurrence/recurrence.h"

namespace cnnext {

template <class T>
using RecurrenceKernel = Kernel<RecurrenceShape, RecurrenceOperands<T>>;

// T is float or double. Throws std::runtime_error if a forced kernel does not apply.
template <class T>
const RecurrenceKernel<T>& select_recurrence(Pass pass, const RecurrenceShape& shape, int threads);

// All kernels whose elements are of type T, float or double.
template <class T>
const std::vector<RecurrenceKernel<T>>& recurrence_registry();

struct Recurrence {
  static constexpr const char* kName = "recurrence";
  using Shape = RecurrenceShape;
  template <class T>
  using Operands = RecurrenceOperands<T>;
};

template <>
inline const std::vector<RecurrenceKernel<float>>& registry<Recurrence, float>() {
  return recurrence_registry<float>();
}
template <>
inline const std::vector<RecurrenceKernel<double>>& registry<Recurrence, double>() {
  return recurrence_registry<double>();
}

// All of the registry, "name pass isa" a line.
std::string list_recurrence_kernels();

}  // namespace cnnext
