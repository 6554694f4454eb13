// SPDX-License-Identifier: BSD-3-Clause
// Calls of modules without gradients, as plans of one step: what a call was computed with is kept
// for the next of the same shape, which then chooses nothing, plans nothing and packs nothing.
//
// A plan is used again only where everything that it was made from is the same: shape, threads,
// ISA, settings, what exact_sums.h found in the values, and of a weight that was packed all bits.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "conv2d/exact_sums.h"

namespace cnnext {

// What packed weights depend on.
struct WeightSource {
  int64_t c_in, c_out, k_h, k_w, groups;  // without padding-only taps
  const float* filter;                    // likewise
  const float* weight;
  int64_t floats;      // from the first to the last element of weight
  int64_t strides[4];  // of weight
  int64_t version;     // of weight: what PyTorch counts its changes by, or -1
  uint64_t checksum;   // of weight

  bool operator==(const WeightSource& other) const;
};

struct PackedWeights {
  PackFormat format;
  WeightSource source;
  std::shared_ptr<void> storage;  // the weight's memory, which no other tensor can get meanwhile
  std::unique_ptr<unsigned char, decltype(&std::free)> bytes{nullptr, &std::free};
  int64_t size = 0;

  // Memory for them, yet to be packed; null if there is none.
  static std::shared_ptr<PackedWeights> allocate(const PackFormat& format);
};

struct CallKey {
  int64_t owner;  // the module's number
  Conv2dShape shape;
  int threads;
  Isa isa;
  int64_t settings;        // registry.h
  bool by_values = false;  // chosen by them: it lends its packed weights, but is not found again

  bool operator==(const CallKey& other) const;
};

struct PlannedCall {
  CallKey key;
  Conv2dChoice choice;
  Plan plan;
  std::shared_ptr<const PackedWeights> packed;  // null where that is left to the kernel
};

// All of a process, safe under threads; beyond kMaxBytes the modules unused for longest lose
// theirs.
class PlannedCalls {
 public:
  static constexpr int64_t kMaxBytes = int64_t{256} << 20;  // of packed weights
  static constexpr size_t kMaxOwners = 4096;
  static constexpr size_t kMaxCalls = 16;  // of an owner

  static PlannedCalls& instance();

  // Null if there is none. What was found stays valid while it is held.
  std::shared_ptr<const PlannedCall> find(const CallKey& key);
  // What the owner has packed from this source in this format, for any call; null if nothing.
  std::shared_ptr<const PackedWeights> find_packed(int64_t owner, const WeightSource& source,
                                                   const PackFormat& format);
  // Takes the place of the call of that key, and of weights that were packed alike.
  void keep(std::shared_ptr<const PlannedCall> call);
  void forget(int64_t owner);
  void forget_all();
  int64_t bytes(int64_t owner);  // that are packed for it

 private:
  using Calls = std::vector<std::shared_ptr<const PlannedCall>>;  // the last used first
  struct Owner {
    int64_t number;
    Calls calls;
    int64_t bytes = 0;
  };
  using Owners = std::list<Owner>;

  std::mutex mutex_;
  Owners owners_;  // the last used first
  std::unordered_map<int64_t, Owners::iterator> by_number_;
  int64_t bytes_ = 0;

  Owner* use(int64_t number);  // null if unknown
  void count_bytes(Owner& owner);
  // Takes an owner out, to be freed when the mutex is not held any more: the memory of a weight may
  // be anyone's to free.
  void take(Owners::iterator owner, Owners& taken);
};

}  // namespace cnnext
