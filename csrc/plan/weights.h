// SPDX-License-Identifier: BSD-3-Clause
// The weights of a network, and what kernels have packed of them: once for all plans of it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "common/kernel/kernel.h"

namespace cnnext {
namespace plan {

struct Weight {
  const float* data = nullptr;
  std::vector<int64_t> sizes, strides;
  std::shared_ptr<void> owner;  // of the memory

  int64_t size(size_t dim) const { return dim < sizes.size() ? sizes[dim] : 1; }
};

using PackedBytes = std::shared_ptr<unsigned char>;

class Weights {
 public:
  explicit Weights(std::vector<Weight> weights) : weights_(std::move(weights)) {}

  int64_t count() const { return static_cast<int64_t>(weights_.size()); }
  const Weight& at(int64_t index) const { return weights_[index]; }

  // The weight in this format, packed by pack(bytes) if it is asked for the first time. `part`
  // tells apart which taps of a filter are packed: those that small images never use are left out.
  template <class Pack>
  PackedBytes packed(int64_t index, const PackFormat& format, const std::vector<int64_t>& part,
                     const Pack& pack) {
    const std::lock_guard<std::mutex> lock(mutex_);
    PackedBytes& known = packed_[{index, format.order, format.columns, format.bytes, part}];
    if (known == nullptr) {
      const PackedBytes bytes = allocate(format.bytes);
      pack(bytes.get());
      known = bytes;
      packed_bytes_ += format.bytes;
    }
    return known;
  }
  int64_t packed_bytes() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return packed_bytes_;
  }

 private:
  using Key = std::tuple<int64_t, std::string, int64_t, int64_t, std::vector<int64_t>>;

  const std::vector<Weight> weights_;
  mutable std::mutex mutex_;
  std::map<Key, PackedBytes> packed_;
  int64_t packed_bytes_ = 0;

  static PackedBytes allocate(int64_t bytes);
};

}  // namespace plan
}  // namespace cnnext
