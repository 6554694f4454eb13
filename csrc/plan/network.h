// SPDX-License-Identifier: BSD-3-Clause
// A network: its graph, its weights, and the schedules for the inputs that it was called with.
// Calls at the same time are as good as calls one after the other.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "plan/builder.h"

namespace cnnext {
namespace plan {

class Network {
 public:
  static constexpr size_t kMaxSchedules = 16;  // the one unused for longest goes first

  Network(const std::string& program, std::vector<Weight> weights);

  size_t inputs() const { return graph_.inputs.size(); }
  size_t outputs() const { return graph_.outputs.size(); }

  // Later calls compute with these.
  void set_weights(std::vector<Weight> weights);
  std::shared_ptr<const Schedule> schedule_for(const Request& request, const Parallel& parallel);
  // Of packed weights, and the largest memory of a call among the schedules.
  int64_t packed_bytes() const;
  int64_t call_bytes() const;
  size_t schedules() const;

 private:
  struct Key {
    Request request;
    Isa isa;
    int64_t settings;  // registry.h

    bool operator==(const Key& other) const;
  };
  // Holds on to the weights that its schedule reads.
  struct Known {
    Key key;
    std::shared_ptr<Weights> weights;
    Schedule schedule;
  };

  const Graph graph_;
  mutable std::mutex mutex_;
  std::shared_ptr<Weights> weights_;
  std::list<std::shared_ptr<const Known>> known_;  // the last used first
};

// The schedule's steps, one a line: the line of the program, and behind a tab the kernel, its
// threads and predicted seconds.
std::string describe(const Schedule& schedule);

}  // namespace plan
}  // namespace cnnext
