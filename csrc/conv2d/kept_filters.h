// SPDX-License-Identifier: BSD-3-Clause
// Filters as kernels pack them, kept between the calls of a module. One is used again only where
// everything that it was made from is the same, to the last bit of the weight.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <list>
#include <memory>
#include <mutex>

#include "common/kernel/checksum.h"
#include "conv2d/select.h"

namespace cnnext {

// What a packed filter was made from: the bytes do not depend on images, strides or padding.
struct FilterSource {
  int64_t owner;  // the module's number
  const Conv2dKernel<float>* kernel;
  int64_t c_in, c_out, k_h, k_w, groups;  // without padding-only taps
  const float* filter;                    // likewise
  const float* weight;
  int64_t floats;      // from the first to the last element of weight
  int64_t strides[4];  // of weight
  int64_t version;     // of weight: what PyTorch counts its changes by, or -1
  uint64_t checksum;   // of weight

  // Whether this is for the same calls, though perhaps of another weight.
  bool takes_the_place_of(const FilterSource& other) const;
  bool operator==(const FilterSource& other) const;
};

struct KeptFilter {
  FilterSource source;
  std::shared_ptr<void> storage;  // the weight's memory, which no other tensor can get meanwhile
  std::unique_ptr<unsigned char, decltype(&std::free)> packed{nullptr, &std::free};
  int64_t bytes = 0;
};

// All of a process, safe under threads; when they exceed kMaxBytes, those unused for longest go.
class KeptFilters {
 public:
  static constexpr int64_t kMaxBytes = int64_t{256} << 20;

  static KeptFilters& instance();

  // Null if there is none. What was found stays valid while it is held.
  std::shared_ptr<const KeptFilter> find(const FilterSource& source);
  void keep(std::shared_ptr<const KeptFilter> filter);
  void forget(int64_t owner);
  void forget_all();
  int64_t bytes(int64_t owner);  // that are kept for it

 private:
  using List = std::list<std::shared_ptr<const KeptFilter>>;

  std::mutex mutex_;
  List filters_;  // the last used first
  int64_t bytes_ = 0;

  // Takes out those that the predicate holds for, to be freed when the mutex is not held any more:
  // the memory of a weight may be anyone's to free.
  template <class Predicate>
  List take(const Predicate& predicate);
};

}  // namespace cnnext
