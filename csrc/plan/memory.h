// SPDX-License-Identifier: BSD-3-Clause
// Where the buffers of a plan lie in its arena: those that are never needed at the same time share
// memory.
#pragma once

#include <cstdint>
#include <vector>

namespace cnnext {
namespace plan {

// Needed from step `first` to step `last`, both included.
struct Lifetime {
  int64_t bytes;
  int first, last;
};

struct Arena {
  std::vector<int64_t> offsets;  // of the buffers, in their order
  int64_t bytes = 0;
};

// The largest first, each at the lowest offset that is free for as long as it lives (Pisarchyk,
// Lee, "Efficient memory management for deep neural net inference", arXiv:2001.03288).
Arena place(const std::vector<Lifetime>& buffers);

}  // namespace plan
}  // namespace cnnext
