// SPDX-License-Identifier: BSD-3-Clause
#include "common/kernel/cpuid.h"

#include <algorithm>
#include <string>

#if CNNEXT_X86
#include <cpuid.h>
#endif

namespace cnnext {
namespace {

uint32_t bits(uint32_t word, int last, int first) {
  return word << (31 - last) >> (31 - last + first);
}

// A leaf of one subleaf a cache, the last of which has no type: 4, or AMD's 0x8000001D.
void read_caches(const Cpuid& cpuid, uint32_t leaf, Processor& p) {
  constexpr uint32_t kMaxCaches = 16, kNone = 0, kInstructions = 2;
  int64_t threads_of_core = 1;
  for (uint32_t i = 0; i < kMaxCaches; ++i) {
    const CpuidRegisters r = cpuid(leaf, i);
    const uint32_t type = bits(r.eax, 4, 0), level = bits(r.eax, 7, 5);
    if (type == kNone) break;
    if (type == kInstructions) continue;
    const int64_t threads = int64_t{bits(r.eax, 25, 14)} + 1;
    const int64_t line = int64_t{bits(r.ebx, 11, 0)} + 1;
    const int64_t partitions = int64_t{bits(r.ebx, 21, 12)} + 1;
    const int64_t ways = int64_t{bits(r.ebx, 31, 22)} + 1, sets = int64_t{r.ecx} + 1;
    const int64_t bytes = line * partitions * ways * sets;
    if (level == 1) {
      p.l1 = bytes;
      threads_of_core = threads;
    } else if (level == 2) {
      p.l2 = bytes / std::max(int64_t{1}, threads / threads_of_core);
    } else if (level == 3) {
      p.l3 = bytes;
    }
  }
}

// "Intel(R) Xeon(R) Gold 5115 CPU @ 2.40GHz"
std::string brand_name(const Cpuid& cpuid) {
  std::string name;
  for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; ++leaf) {
    const CpuidRegisters r = cpuid(leaf, 0);
    for (uint32_t word : {r.eax, r.ebx, r.ecx, r.edx}) {
      for (int i = 0; i < 4; ++i) name += static_cast<char>(word >> (8 * i));
    }
  }
  return name;
}

bool amd_halves(uint32_t family, uint32_t model, Isa isa) {
  if (isa == Isa::avx2) return family == 0x18 || (family == 0x17 && model < 0x30);  // Zen, Zen+
  if (family == 0x1A) return (model >= 0x20 && model < 0x40) || model / 16 == 6;    // Zen 5, mobile
  return family == 0x19;                                                            // Zen 4
}

bool intel_halves(uint32_t model, Isa isa, const std::string& brand) {
  const auto is_one_of = [&](std::initializer_list<uint32_t> models) {
    return std::find(models.begin(), models.end(), model) != models.end();
  };
  const auto is_named = [&](const char* part) { return brand.find(part) != std::string::npos; };
  if (isa == Isa::avx2) return is_one_of({0xAF, 0xB6, 0xBE});  // Gracemont, Crestmont
  if (model == 0x55) {                                         // Skylake to Cooper Lake, servers
    const bool two = is_named("Gold 5122") || is_named("Gold 5222");
    return is_named("Bronze") || is_named("Silver") || (is_named("Gold 5") && !two);
  }
  return is_one_of({0x66, 0x7D, 0x7E, 0x8C, 0x8D, 0xA7});  // Cannon to Rocket Lake, no servers
}

}  // namespace

Processor read_processor(const Cpuid& cpuid) {
  constexpr uint32_t kAmdCaches = 0x8000001D, kLastOfBrand = 0x80000004;
  Processor p;
  const CpuidRegisters vendor = cpuid(0, 0), version = cpuid(1, 0);
  const uint32_t last = vendor.eax, last_extended = cpuid(0x80000000, 0).eax;
  if (last >= 4) read_caches(cpuid, 4, p);
  if (p.l1 == 0 && last_extended >= kAmdCaches) read_caches(cpuid, kAmdCaches, p);

  const uint32_t base = bits(version.eax, 11, 8);
  const uint32_t family = base == 15 ? base + bits(version.eax, 27, 20) : base;
  const uint32_t model = bits(version.eax, 7, 4) + 16 * bits(version.eax, 19, 16);
  const bool is_intel = vendor.ebx == 0x756E6547;  // "Genu"
  const std::string brand = last_extended >= kLastOfBrand ? brand_name(cpuid) : "";
  for (Isa isa : {Isa::avx2, Isa::avx512}) {
    const bool halves =
        is_intel ? family == 6 && intel_halves(model, isa, brand) : amd_halves(family, model, isa);
    if (halves) p.multiply_adds[static_cast<int>(isa)] = 1;
  }
  return p;
}

Processor this_processor() {
#if CNNEXT_X86
  return read_processor([](uint32_t leaf, uint32_t subleaf) {
    CpuidRegisters r{};
    __cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
    return r;
  });
#else
  return {};
#endif
}

}  // namespace cnnext
