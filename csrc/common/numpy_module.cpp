// SPDX-License-Identifier: BSD-3-Clause
// _kernels: every kernel by name, on NumPy arrays and standard threads, without torch.
#include "common/isa.h"
#include "common/numpy_door.h"
#include "common/registry.h"

namespace cnnext {
namespace {

std::vector<BindDoor>& doors() {
  static std::vector<BindDoor> list;
  return list;
}

}  // namespace

bool register_door(BindDoor bind) {
  doors().push_back(bind);
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
  for (const BindDoor bind : doors()) bind(m);
}

}  // namespace cnnext
