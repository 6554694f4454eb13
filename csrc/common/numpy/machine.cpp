// SPDX-License-Identifier: BSD-3-Clause
// The machine as kernels see it, others that they are told to count on, and processors that are not
// there.
#include "common/kernel/machine.h"

#include <map>

#include "common/kernel/cpuid.h"
#include "common/numpy/bindings.h"

namespace cnnext {
namespace {

struct NamedRate {
  const char* name;
  double Rates::* rate;
};
constexpr NamedRate kNamedRates[] = {
#define CNNEXT_RATE(name, ...) {#name, &Rates::name},
#include "common/kernel/rates.inc"
};

py::dict caches() {
  const Machine& m = machine();
  return py::dict("l1"_a = m.l1, "l2"_a = m.l2, "l3"_a = m.l3);
}

Rates& rates_of(const std::string& isa) {
  for (int i = 0; i < kIsaCount; ++i) {
    if (isa == isa_name(static_cast<Isa>(i))) return tunable_machine().rates[i];
  }
  throw py::value_error("there is no ISA '" + isa + "'");
}

py::dict rates_by_name(const std::string& isa) {
  py::dict rates;
  for (const auto& [name, rate] : kNamedRates) rates[name] = rates_of(isa).*rate;
  return rates;
}

void set_rate(const std::string& isa, const std::string& name, double value) {
  for (const auto& each : kNamedRates) {
    if (name != each.name) continue;
    rates_of(isa).*each.rate = value;
    return;
  }
  throw py::value_error("there is no rate '" + name + "'");
}

void set_machine(const std::optional<int64_t>& l2, int avx2, int avx512) {
  tunable_machine() = l2.has_value() ? machine_of({0, *l2, 0, {2, avx2, avx512}}) : this_machine();
}

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
  m.def("machine", &caches, "Bytes of the caches that kernels count on.");
  m.def("set_machine", &set_machine, "l2"_a = py::none(), py::kw_only(), "avx2"_a = 2,
        "avx512"_a = 2,
        "Has kernels count on so much L2, and on full vectors that are multiplied and added in a "
        "cycle; without arguments, on this machine, with its rates.");
  m.def("rates", &rates_by_name, "isa"_a, "What predictions for kernels of an ISA count on.");
  m.def("set_rate", &set_rate, "isa"_a, "name"_a, "value"_a);
  m.def("processor", &processor, "leaves"_a,
        "What a processor says that answers cpuid so: {(leaf, subleaf): (eax, ebx, ecx, edx)}.");
}

const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
