// SPDX-License-Identifier: BSD-3-Clause
// The machine as kernels see it, and processors that are not there.
#include "common/kernel/machine.h"

#include <map>

#include "common/kernel/cpuid.h"
#include "common/numpy/bindings.h"

namespace cnnext {
namespace {

py::dict caches(const Machine& m) { return py::dict("l1"_a = m.l1, "l2"_a = m.l2, "l3"_a = m.l3); }

// Leaves that are missing are zero.
using Leaves = std::map<std::pair<uint32_t, uint32_t>, std::array<uint32_t, 4>>;

py::dict processor(const Leaves& leaves) {
  const Processor p = read_processor([&](uint32_t leaf, uint32_t subleaf) {
    const auto found = leaves.find({leaf, subleaf});
    if (found == leaves.end()) return CpuidRegisters{};
    const auto [eax, ebx, ecx, edx] = found->second;
    return CpuidRegisters{eax, ebx, ecx, edx};
  });
  py::dict multiply_adds;
  for (int i = 0; i < kIsaCount; ++i) {
    multiply_adds[isa_name(static_cast<Isa>(i))] = p.multiply_adds[i];
  }
  return py::dict("l1"_a = p.l1, "l2"_a = p.l2, "l3"_a = p.l3, "multiply_adds"_a = multiply_adds);
}

void bind(py::module_& m) {
  m.def("machine", [] { return caches(machine()); }, "Bytes of the caches that kernels count on.");
  m.def("processor", &processor, "leaves"_a,
        "What a processor says that answers cpuid so: {(leaf, subleaf): (eax, ebx, ecx, edx)}.");
}

const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
