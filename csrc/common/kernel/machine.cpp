// SPDX-License-Identifier: BSD-3-Clause
#include "common/kernel/machine.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "common/kernel/cpuid.h"

namespace cnnext {
namespace {

struct Rate {
  double Rates::* rate;
  double of[kIsaCount];
};
constexpr Rate kRates[] = {
#define CNNEXT_RATE(name, ...) {&Rates::name, {__VA_ARGS__}},
#include "common/kernel/rates.inc"
};

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

}  // namespace

Machine machine_of(const Processor& processor) {
  Machine m;
  m.l1 = sane(processor.l1, 32 * kKilo, 16 * kKilo, 256 * kKilo);
  m.l2 = sane(processor.l2, kMega, kMinL2, kMaxL2) / (64 * kKilo) * (64 * kKilo);
  m.l3 = sane(processor.l3, 32 * kMega, m.l2, 1024 * kMega);
  for (int i = 0; i < kIsaCount; ++i) {
    for (const Rate& each : kRates) m.rates[i].*each.rate = each.of[i];
    m.rates[i].tile_macs *= processor.multiply_adds[i] / 2.0;
  }
  return m;
}

Machine this_machine() {
  Processor processor = this_processor();
  const int64_t l2 = environment_l2();
  if (l2 != 0) processor.l2 = l2;
  return machine_of(processor);
}

#ifdef CNNEXT_TUNABLE
Machine& tunable_machine() {
  static Machine machine = this_machine();
  return machine;
}
const Machine& machine() { return tunable_machine(); }
#else
const Machine& machine() {
  static const Machine machine = this_machine();
  return machine;
}
#endif

}  // namespace cnnext
