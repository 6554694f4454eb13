// SPDX-License-Identifier: BSD-3-Clause
#include "conv2d/kept_filters.h"

#include <algorithm>
#include <tuple>

namespace cnnext {
namespace {

auto geometry(const Conv2dShape& s) {
  return std::make_tuple(s.n, s.c_in, s.h_in, s.w_in, s.c_out, s.k_h, s.k_w, s.stride_h, s.stride_w,
                         s.pad_h, s.pad_w, s.dilation_h, s.dilation_w, s.groups, s.layout);
}

}  // namespace

bool FilterSource::operator==(const FilterSource& other) const {
  return owner == other.owner && kernel == other.kernel && weight == other.weight &&
         floats == other.floats && std::equal(strides, strides + 4, other.strides) &&
         version == other.version && checksum == other.checksum &&
         geometry(shape) == geometry(other.shape);
}

KeptFilters& KeptFilters::instance() {
  static KeptFilters* const filters = new KeptFilters;  // outlives the threads that use it
  return *filters;
}

std::shared_ptr<const KeptFilter> KeptFilters::find(const FilterSource& source) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = std::find_if(filters_.begin(), filters_.end(),
                                  [&](const auto& filter) { return filter->source == source; });
  if (found == filters_.end()) return nullptr;
  filters_.splice(filters_.begin(), filters_, found);
  return filters_.front();
}

// In the place of what the same module kept for the same kernel and geometry.
void KeptFilters::keep(std::shared_ptr<const KeptFilter> filter) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const FilterSource& source = filter->source;
  remove_if([&](const KeptFilter& other) {
    return other.source.owner == source.owner && other.source.kernel == source.kernel &&
           geometry(other.source.shape) == geometry(source.shape);
  });
  if (filter->bytes > kMostBytes) return;
  bytes_ += filter->bytes;
  filters_.push_front(std::move(filter));
  while (bytes_ > kMostBytes) {
    bytes_ -= filters_.back()->bytes;
    filters_.pop_back();
  }
}

void KeptFilters::forget(int64_t owner) {
  const std::lock_guard<std::mutex> lock(mutex_);
  remove_if([&](const KeptFilter& filter) { return filter.source.owner == owner; });
}

void KeptFilters::forget_all() {
  const std::lock_guard<std::mutex> lock(mutex_);
  remove_if([](const KeptFilter&) { return true; });
}

int64_t KeptFilters::bytes(int64_t owner) {
  const std::lock_guard<std::mutex> lock(mutex_);
  int64_t sum = 0;
  for (const auto& filter : filters_) {
    if (filter->source.owner == owner) sum += filter->bytes;
  }
  return sum;
}

template <class Predicate>
void KeptFilters::remove_if(const Predicate& predicate) {
  filters_.remove_if([&](const auto& filter) {
    if (!predicate(*filter)) return false;
    bytes_ -= filter->bytes;
    return true;
  });
}

}  // namespace cnnext
