// SPDX-License-Identifier: BSD-3-Clause
#include "plan/memory.h"

#include <algorithm>
#include <numeric>

#include "common/kernel/kernel.h"

namespace cnnext {
namespace plan {
namespace {

// Buffers begin at cache lines. Those of a page and more begin some lines apart from each other's
// place in a page, or else the same pixel of all would fall into the same set of the caches.
constexpr int64_t kLine = 64, kPage = 4096;

int64_t padded(int64_t bytes) {
  if (bytes == 0) return 0;
  const int64_t whole = round_up(bytes, kLine);
  return whole % kPage == 0 ? whole + kLine : whole;
}

}  // namespace

Arena place(const std::vector<Lifetime>& buffers) {
  std::vector<int> order(buffers.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return buffers[a].bytes > buffers[b].bytes; });
  Arena arena;
  arena.offsets.resize(buffers.size());
  std::vector<int> placed;  // in the order of their offsets
  for (const int i : order) {
    const Lifetime& buffer = buffers[i];
    int64_t offset = 0;
    for (const int other : placed) {
      const Lifetime& taken = buffers[other];
      if (taken.last < buffer.first || buffer.last < taken.first) continue;
      if (offset + padded(buffer.bytes) <= arena.offsets[other]) break;
      offset = std::max(offset, arena.offsets[other] + padded(taken.bytes));
    }
    arena.offsets[i] = offset;
    arena.bytes = std::max(arena.bytes, offset + padded(buffer.bytes));
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), i,
                         [&](int a, int b) { return arena.offsets[a] < arena.offsets[b]; }),
        i);
  }
  return arena;
}

}  // namespace plan
}  // namespace cnnext
