// SPDX-License-Identifier: BSD-3-Clause
// The operators that tell about and steer the library itself.
#include <string>

#include "common/kernel/arena.h"
#include "common/kernel/isa.h"
#include "common/kernel/machine.h"
#include "common/kernel/registry.h"
#include "common/kernel/scratch.h"
#include "common/torch/build_info.h"
#include "common/torch/checks.h"

namespace cnnext {
namespace {

std::string active_isa_name() { return isa_name(active_isa()); }
std::string detected_isa_name() { return isa_name(detected_isa()); }
std::string build_info_json() { return build_info(); }
std::string cache_bytes() {
  const Machine& m = machine();
  return std::to_string(m.l1) + ' ' + std::to_string(m.l2) + ' ' + std::to_string(m.l3);
}
void set_isa_cap_by_name(std::string name) { set_isa_cap(name.c_str()); }
void force_kernel_by_name(std::string op, std::string name) { force_kernel(op, name); }
void prefer_algorithm_by_name(std::string op, std::string algorithm) {
  prefer_algorithm(op, algorithm);
}
void release_memory() {
  Scratch::release_idle();
  Arena::instance().release_free();
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  m.def("active_isa() -> str");
  m.def("detected_isa() -> str");
  m.def("build_info() -> str");
  m.def("cache_bytes() -> str");
  m.def("set_isa_cap(str name) -> ()");
  m.def("force_kernel(str op, str name) -> ()");
  m.def("prefer_algorithm(str op, str algorithm) -> ()");
  m.def("release_memory() -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  m.impl("active_isa", TORCH_BOX(&active_isa_name));
  m.impl("detected_isa", TORCH_BOX(&detected_isa_name));
  m.impl("build_info", TORCH_BOX(&build_info_json));
  m.impl("cache_bytes", TORCH_BOX(&cache_bytes));
  m.impl("set_isa_cap", TORCH_BOX(&set_isa_cap_by_name));
  m.impl("force_kernel", TORCH_BOX(&force_kernel_by_name));
  m.impl("prefer_algorithm", TORCH_BOX(&prefer_algorithm_by_name));
  m.impl("release_memory", TORCH_BOX(&release_memory));
}

}  // namespace cnnext
