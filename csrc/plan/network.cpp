// SPDX-License-Identifier: BSD-3-Clause
#include "plan/network.h"

#include <algorithm>

#include "plan/operators.h"

namespace cnnext {
namespace plan {

Network::Network(const std::string& program, std::vector<Weight> weights)
    : graph_(Graph::parse(program)), weights_(std::make_shared<Weights>(std::move(weights))) {
  for (const Node& node : graph_.nodes) check(node);
}

void Network::set_weights(std::vector<Weight> weights) {
  const auto made = std::make_shared<Weights>(std::move(weights));
  const std::lock_guard<std::mutex> lock(mutex_);
  weights_ = made;
  known_.clear();
}

bool Network::Key::operator==(const Key& other) const {
  return request.inputs == other.request.inputs && request.layout == other.request.layout &&
         request.threads == other.request.threads && isa == other.isa && settings == other.settings;
}

std::shared_ptr<const Stages> Network::stages_for(const Request& request,
                                                  const Parallel& parallel) {
  const Key key{request, active_isa(), settings_number()};
  const auto stages_of = [](const std::shared_ptr<const Known>& known) {
    return std::shared_ptr<const Stages>(known, &known->stages);
  };
  std::shared_ptr<Weights> weights;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find_if(known_.begin(), known_.end(),
                                    [&](const auto& each) { return each->key == key; });
    if (found != known_.end()) {
      known_.splice(known_.begin(), known_, found);
      return stages_of(known_.front());
    }
    weights = weights_;
  }
  const auto made = std::make_shared<const Known>(
      Known{key, weights, Stages(graph_, *weights, request, parallel)});
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool is_new = std::none_of(known_.begin(), known_.end(),
                                   [&](const auto& each) { return each->key == key; });
  if (weights == weights_ && is_new) {  // no others have come meanwhile
    known_.push_front(made);
    if (known_.size() > kMaxExtents) known_.pop_back();
  }
  return stages_of(made);
}

int64_t Network::packed_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return weights_->packed_bytes();
}

int64_t Network::call_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  int64_t bytes = 0;
  for (const auto& each : known_) bytes = std::max(bytes, each->stages.bytes());
  return bytes;
}

size_t Network::extents() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return known_.size();
}

}  // namespace plan
}  // namespace cnnext
