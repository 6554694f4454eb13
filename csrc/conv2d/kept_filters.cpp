// SPDX-License-Identifier: BSD-3-Clause
#include "conv2d/kept_filters.h"

#include <algorithm>
#include <iterator>

namespace cnnext {

bool FilterSource::takes_the_place_of(const FilterSource& other) const {
  return owner == other.owner && kernel == other.kernel && c_in == other.c_in &&
         c_out == other.c_out && k_h == other.k_h && k_w == other.k_w && groups == other.groups;
}

bool FilterSource::operator==(const FilterSource& other) const {
  return takes_the_place_of(other) && filter == other.filter && weight == other.weight &&
         floats == other.floats && std::equal(strides, strides + 4, other.strides) &&
         version == other.version && checksum == other.checksum;
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

void KeptFilters::keep(std::shared_ptr<const KeptFilter> filter) {
  List replaced, oldest;
  const std::lock_guard<std::mutex> lock(mutex_);
  replaced = take(
      [&](const KeptFilter& other) { return filter->source.takes_the_place_of(other.source); });
  bytes_ += filter->bytes;
  filters_.push_front(std::move(filter));
  while (bytes_ > kMaxBytes) {
    bytes_ -= filters_.back()->bytes;
    oldest.splice(oldest.begin(), filters_, std::prev(filters_.end()));
  }
}

void KeptFilters::forget(int64_t owner) {
  List forgotten;
  const std::lock_guard<std::mutex> lock(mutex_);
  forgotten = take([&](const KeptFilter& filter) { return filter.source.owner == owner; });
}

void KeptFilters::forget_all() {
  List forgotten;
  const std::lock_guard<std::mutex> lock(mutex_);
  forgotten = take([](const KeptFilter&) { return true; });
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
KeptFilters::List KeptFilters::take(const Predicate& predicate) {
  List taken;
  for (auto filter = filters_.begin(); filter != filters_.end();) {
    const auto next = std::next(filter);
    if (predicate(**filter)) {
      bytes_ -= (*filter)->bytes;
      taken.splice(taken.end(), filters_, filter);
    }
    filter = next;
  }
  return taken;
}

}  // namespace cnnext
