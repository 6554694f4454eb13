// SPDX-License-Identifier: BSD-3-Clause
#include "conv2d/planned_calls.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "common/kernel/huge_pages.h"

namespace cnnext {
namespace {

bool same_weights(const WeightSource& a, const WeightSource& b) {
  return a.c_in == b.c_in && a.c_out == b.c_out && a.k_h == b.k_h && a.k_w == b.k_w &&
         a.groups == b.groups;
}

bool same_shape(const Conv2dShape& a, const Conv2dShape& b) {
  const auto fields = [](const Conv2dShape& s) {
    return std::array<int64_t, 16>{
        s.n,     s.c_in,       s.h_in,       s.w_in,     s.c_out,
        s.k_h,   s.k_w,        s.stride_h,   s.stride_w, s.pad_h,
        s.pad_w, s.dilation_h, s.dilation_w, s.groups,   static_cast<int64_t>(s.layout),
        s.pooled};
  };
  return fields(a) == fields(b);
}

}  // namespace

bool WeightSource::operator==(const WeightSource& other) const {
  return same_weights(*this, other) && filter == other.filter && weight == other.weight &&
         floats == other.floats && std::equal(strides, strides + 4, other.strides) &&
         version == other.version && checksum == other.checksum;
}

bool CallKey::operator==(const CallKey& other) const {
  return owner == other.owner && threads == other.threads && isa == other.isa &&
         settings == other.settings && by_values == other.by_values &&
         same_shape(shape, other.shape);
}

std::shared_ptr<PackedWeights> PackedWeights::allocate(const PackFormat& format) {
  const auto made = std::make_shared<PackedWeights>();
  made->format = format;
  made->size = round_up(format.bytes, 64);
  made->bytes.reset(static_cast<unsigned char*>(std::aligned_alloc(64, made->size)));
  if (made->bytes == nullptr) return nullptr;
  prefer_huge_pages(made->bytes.get(), made->size);
  return made;
}

PlannedCalls& PlannedCalls::instance() {
  static PlannedCalls* const calls = new PlannedCalls;  // outlives the threads that use it
  return *calls;
}

PlannedCalls::Owner* PlannedCalls::use(int64_t number) {
  const auto found = by_number_.find(number);
  if (found == by_number_.end()) return nullptr;
  owners_.splice(owners_.begin(), owners_, found->second);
  return &owners_.front();
}

std::shared_ptr<const PlannedCall> PlannedCalls::find(const CallKey& key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Owner* const owner = use(key.owner);
  if (owner == nullptr) return nullptr;
  const auto found = std::find_if(owner->calls.begin(), owner->calls.end(),
                                  [&](const auto& call) { return call->key == key; });
  if (found == owner->calls.end()) return nullptr;
  std::rotate(owner->calls.begin(), found, found + 1);
  return owner->calls.front();
}

std::shared_ptr<const PackedWeights> PlannedCalls::find_packed(int64_t owner,
                                                               const WeightSource& source,
                                                               const PackFormat& format) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Owner* const known = use(owner);
  if (known == nullptr) return nullptr;
  for (const auto& call : known->calls) {
    if (call->packed != nullptr && call->packed->format == format &&
        call->packed->source == source) {
      return call->packed;
    }
  }
  return nullptr;
}

void PlannedCalls::keep(std::shared_ptr<const PlannedCall> call) {
  Calls replaced;
  Owners forgotten;
  const std::lock_guard<std::mutex> lock(mutex_);
  Owner* owner = use(call->key.owner);
  if (owner == nullptr) {
    owners_.push_front(Owner{call->key.owner, {}});
    by_number_[call->key.owner] = owners_.begin();
    owner = &owners_.front();
  }
  const auto stays = [&](const auto& other) {
    const bool packed_alike = call->packed != nullptr && other->packed != nullptr &&
                              call->packed != other->packed &&
                              call->packed->format == other->packed->format &&
                              same_weights(call->packed->source, other->packed->source);
    return !(other->key == call->key) && !packed_alike;
  };
  Calls& calls = owner->calls;
  const auto gone = std::stable_partition(calls.begin(), calls.end(), stays);
  std::move(gone, calls.end(), std::back_inserter(replaced));
  calls.erase(gone, calls.end());
  if (calls.size() == kMaxCalls) {
    replaced.push_back(std::move(calls.back()));
    calls.pop_back();
  }
  calls.insert(calls.begin(), std::move(call));
  count_bytes(*owner);
  while (bytes_ > kMaxBytes || owners_.size() > kMaxOwners) {
    take(std::prev(owners_.end()), forgotten);
  }
}

void PlannedCalls::forget(int64_t owner) {
  Owners forgotten;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_number_.find(owner);
  if (found != by_number_.end()) take(found->second, forgotten);
}

void PlannedCalls::forget_all() {
  Owners forgotten;
  const std::lock_guard<std::mutex> lock(mutex_);
  while (!owners_.empty()) take(owners_.begin(), forgotten);
}

int64_t PlannedCalls::bytes(int64_t owner) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_number_.find(owner);
  return found == by_number_.end() ? 0 : found->second->bytes;
}

void PlannedCalls::count_bytes(Owner& owner) {
  std::vector<const PackedWeights*> counted;
  int64_t bytes = 0;
  for (const auto& call : owner.calls) {
    const PackedWeights* const packed = call->packed.get();
    if (packed == nullptr || std::count(counted.begin(), counted.end(), packed) > 0) continue;
    counted.push_back(packed);
    bytes += packed->size;
  }
  bytes_ += bytes - owner.bytes;
  owner.bytes = bytes;
}

void PlannedCalls::take(Owners::iterator owner, Owners& taken) {
  bytes_ -= owner->bytes;
  by_number_.erase(owner->number);
  taken.splice(taken.end(), owners_, owner);
}

}  // namespace cnnext
