// SPDX-License-Identifier: BSD-3-Clause
// A network: its graph, its weights, and the stages for the inputs that it was called with.
// Threads may call it at the same time.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "plan/stages.h"

namespace cnnext {
namespace plan {

class Network {
 public:
  // How many stages are kept; those unused for longest go first.
  static constexpr size_t kMaxExtents = 16;

  Network(const std::string& program, std::vector<Weight> weights);

  size_t inputs() const { return graph_.inputs.size(); }

  // Calls that begin later compute with these; all stages are made anew.
  void set_weights(std::vector<Weight> weights);
  std::shared_ptr<const Stages> stages_for(const Request& request, const Parallel& parallel);
  // The bytes of packed weights, and of a call at most.
  int64_t packed_bytes() const;
  int64_t call_bytes() const;
  size_t extents() const;

 private:
  struct Key {
    Request request;
    Isa isa;
    int64_t settings;  // registry.h

    bool operator==(const Key& other) const;
  };
  // Stages that are kept, and the weights that they read.
  struct Known {
    Key key;
    std::shared_ptr<Weights> weights;
    Stages stages;
  };

  const Graph graph_;
  mutable std::mutex mutex_;
  std::shared_ptr<Weights> weights_;
  std::list<std::shared_ptr<const Known>> known_;  // the last used first
};

}  // namespace plan
}  // namespace cnnext
