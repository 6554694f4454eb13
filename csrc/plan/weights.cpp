// SPDX-License-Identifier: BSD-3-Clause
#include "plan/weights.h"

#include <stdexcept>

#include "common/kernel/huge_pages.h"

namespace cnnext {
namespace plan {

PackedBytes Weights::allocate(int64_t bytes) {
  const int64_t alignment = bytes < static_cast<int64_t>(kHugePage) ? 64 : kHugePage;
  const int64_t size = round_up(bytes, alignment);
  auto* const memory = static_cast<unsigned char*>(std::aligned_alloc(alignment, size));
  if (memory == nullptr) {
    throw std::runtime_error("cnnext cannot allocate " + std::to_string(bytes) +
                             " bytes of packed weights");
  }
  prefer_huge_pages(memory, size);
  return {memory, [](unsigned char* p) { std::free(p); }};
}

}  // namespace plan
}  // namespace cnnext
