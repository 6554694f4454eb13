// SPDX-License-Identifier: BSD-3-Clause
// _kernels: every kernel by name, on NumPy arrays and standard threads, without torch.
#include "common/kernel/isa.h"
#include "common/kernel/registry.h"
#include "common/numpy/bindings.h"

namespace cnnext {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr const char* kSanitizer = "address";
#elif defined(__SANITIZE_THREAD__)
constexpr const char* kSanitizer = "thread";
#else
constexpr const char* kSanitizer = "";
#endif

std::vector<BindOperator>& operators() {
  static std::vector<BindOperator> list;
  return list;
}

}  // namespace

bool register_bindings(BindOperator bind) {
  operators().push_back(bind);
  return true;
}

PYBIND11_MODULE(_kernels, m) {
  m.def("active_isa", [] { return isa_name(active_isa()); });
  m.def("detected_isa", [] { return isa_name(detected_isa()); });
  m.def(
      "set_isa_cap", [](const std::string& name) { set_isa_cap(name.c_str()); }, "name"_a,
      "Lowers the active ISA; '' takes the cap away.");
  m.def("force_kernel", &force_kernel, "op"_a, "name"_a,
        "Makes select() choose the kernel of that name in its pass; '' frees the choice.");
  m.def(
      "set_edge",
      [](const std::string& name) {
        if (name != "front" && name != "back") throw py::value_error("edge must be front or back");
        current_edge() = name == "front" ? Edge::front : Edge::back;
      },
      "name"_a, "Which end of all memory that is given to kernels touches a forbidden page.");
  m.attr("sanitizer") = kSanitizer;
  for (const BindOperator bind : operators()) bind(m);
}

}  // namespace cnnext
