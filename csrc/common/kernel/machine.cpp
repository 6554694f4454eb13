// SPDX-License-Identifier: BSD-3-Clause
#include "common/kernel/machine.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "common/kernel/cpuid.h"

namespace cnnext {
namespace {

constexpr int64_t kKilo = 1 << 10, kMega = 1 << 20;

// Hypervisors invent sizes.
int64_t sane(int64_t said, int64_t otherwise, int64_t least, int64_t most) {
  return said == 0 ? otherwise : std::min(std::max(said, least), most);
}

// What CNNEXT_L2 says, or 0.
int64_t environment_l2() {
  const char* const value = std::getenv("CNNEXT_L2");
  if (value == nullptr || *value == '\0') return 0;
  char* end = nullptr;
  const int64_t number = std::strtoll(value, &end, 10);
  const std::string unit = end;
  const int64_t scale = unit == "M" ? kMega : unit == "K" ? kKilo : unit.empty() ? 1 : 0;
  const bool fits = number > 0 && number <= kMaxL2 && number * scale >= kMinL2;
  if (fits && number * scale <= kMaxL2) return number * scale;
  throw std::runtime_error("CNNEXT_L2='" + std::string(value) +
                           "' is not a size from 256K to 2M, in bytes or with K or M");
}

Machine this_machine() {
  const Processor processor = this_processor();
  const int64_t environment = environment_l2();
  const int64_t said = environment != 0 ? environment : processor.l2;
  Machine m;
  m.l1 = sane(processor.l1, 32 * kKilo, 16 * kKilo, 256 * kKilo);
  m.l2 = sane(said, kMega, kMinL2, kMaxL2) / (64 * kKilo) * (64 * kKilo);
  m.l3 = sane(processor.l3, 32 * kMega, m.l2, 1024 * kMega);
  return m;
}

}  // namespace

const Machine& machine() {
  static const Machine machine = this_machine();
  return machine;
}

}  // namespace cnnext
