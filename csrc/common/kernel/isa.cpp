// SPDX-License-Identifier: BSD-3-Clause
#include "common/kernel/isa.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace cnnext {
namespace {

constexpr const char* kNames[kIsaCount] = {"baseline", "avx2", "avx512"};

Isa parse(const std::string& name, const char* source) {
  for (int i = 0; i < kIsaCount; ++i) {
    if (name == kNames[i]) return static_cast<Isa>(i);
  }
  throw std::runtime_error(std::string(source) + "='" + name +
                           "' is not one of baseline, avx2, avx512");
}

Isa environment_cap() {
  const char* value = std::getenv("CNNEXT_ISA");
  return value == nullptr || *value == '\0' ? Isa::avx512 : parse(value, "CNNEXT_ISA");
}

std::atomic<Isa> cap{Isa::avx512};

}  // namespace

const char* isa_name(Isa isa) { return kNames[static_cast<int>(isa)]; }

Isa detected_isa() {
#if CNNEXT_X86
  // The compiler's runtime also asks the operating system whether it saves the wide registers.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#ifdef CNNEXT_AVX512_ON_AVX2  // as the tests' build compiles it where there is no AVX-512
  const bool avx512 = avx2;
#else
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
  if (avx2 && avx512) return Isa::avx512;
  if (avx2) return Isa::avx2;
#endif
  return Isa::baseline;
}

Isa active_isa() {
  static const Isa ceiling = std::min(detected_isa(), environment_cap());
  return std::min(ceiling, cap.load(std::memory_order_relaxed));
}

void set_isa_cap(const char* name) {
  cap.store(*name == '\0' ? Isa::avx512 : parse(name, "ISA cap"), std::memory_order_relaxed);
}

}  // namespace cnnext
