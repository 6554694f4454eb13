// SPDX-License-Identifier: BSD-3-Clause
// What GCC's -fsanitize=alignment,bounds calls when it finds a fault. These checks are made before
// the optimizer splits the access to a float4 or lays arrays side by side: tsan.cpp is too late.
#include <cstdint>
#include <string>

#include "block.h"
#include "fault.h"
#include "fiber.h"

namespace {

struct Location {
  const char* file;
  uint32_t line, column;
};

struct Type {
  uint16_t kind, info;
  char name[];
};

struct Misaligned {
  Location location;
  const Type* type;
  unsigned char log_alignment, access;
};

struct OutOfBounds {
  Location location;
  const Type *array, *index;
};

void fail_in_kernel(cuda_on_cpu::FaultKind kind, const Location& location,
                    const std::string& what) {
  const bool in_kernel =
      cuda_on_cpu::stacks.hold(reinterpret_cast<uintptr_t>(__builtin_frame_address(0)));
  if (!in_kernel) return;
  cuda_on_cpu::fail(kind, place(cuda_on_cpu::Site{location.file, static_cast<int>(location.line)}),
                    what);
}

}  // namespace

extern "C" {

void __ubsan_handle_type_mismatch_v1(const Misaligned* fault, uintptr_t address) {
  fail_in_kernel(cuda_on_cpu::FaultKind::misaligned, fault->location,
                 "takes for a " + std::string(fault->type->name) + " what lies " +
                     std::to_string(address % (uintptr_t{1} << fault->log_alignment)) +
                     " bytes after a multiple of " + std::to_string(1 << fault->log_alignment));
}

void __ubsan_handle_out_of_bounds(const OutOfBounds* fault, uintptr_t index) {
  fail_in_kernel(cuda_on_cpu::FaultKind::out_of_bounds, fault->location,
                 "takes element " + std::to_string(static_cast<intptr_t>(index)) + " of a " +
                     std::string(fault->array->name));
}

}  // extern "C"
