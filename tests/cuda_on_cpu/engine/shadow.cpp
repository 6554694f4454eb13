// SPDX-License-Identifier: BSD-3-Clause
#include "shadow.h"

#include <algorithm>

namespace cuda_on_cpu {

Clock::Clock() {
  for (int i = 0; i < kMaxFibers; ++i) seen_[i][i % kWarp] = 1;
}

void Clock::warp_barrier(int first_thread, unsigned mask) {
  uint32_t merged[kWarp] = {};
  for (int i = 0; i < kWarp; ++i) {
    if ((mask >> i & 1) == 0) continue;
    const uint32_t* const seen = seen_[first_thread + i];
    std::transform(seen, seen + kWarp, merged, merged,
                   [](uint32_t a, uint32_t b) { return std::max(a, b); });
  }
  for (int i = 0; i < kWarp; ++i) {
    if ((mask >> i & 1) == 0) continue;
    std::copy_n(merged, kWarp, seen_[first_thread + i]);
    ++seen_[first_thread + i][i];
  }
}

void Shadow::resize(size_t bytes) {
  const size_t words = (bytes + kWord - 1) / kWord;
  words_.assign(words, Cell{});
  is_split_.assign(words, false);
  bytes_.clear();
}

void Shadow::split(size_t word) {
  bytes_.resize(words_.size() * kWord);
  std::fill_n(bytes_.begin() + word * kWord, kWord, words_[word]);
  is_split_[word] = true;
}

size_t Shadow::touched(uint32_t since) const {
  const auto is_recent = [&](const Cell& cell) {
    return cell.write.epoch >= since || cell.read.epoch >= since || cell.other_read.epoch >= since;
  };
  size_t count = 0;
  for (size_t i = 0; i < words_.size(); ++i) {
    const Cell* const cells = is_split_[i] ? &bytes_[i * kWord] : &words_[i];
    count += std::any_of(cells, cells + (is_split_[i] ? kWord : 1), is_recent);
  }
  return count * kWord;
}

}  // namespace cuda_on_cpu
