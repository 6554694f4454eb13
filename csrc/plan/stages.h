// SPDX-License-Identifier: BSD-3-Clause
// A call as stages, one after the other. A stage takes its images in slices, so that what one layer
// leaves for the next stays in a cache: in that of a core, where slices are so little work that
// threads take them side by side, or in the one that all cores share.
//
// What follows the last image are products with matrices that may be larger than all images
// together: a stage of its own, so that they are read once a call.
#pragma once

#include <string>
#include <vector>

#include "plan/builder.h"

namespace cnnext {
namespace plan {

class Stages {
 public:
  Stages(const Graph& graph, Weights& weights, const Request& request, const Parallel& parallel);

  const std::vector<Extent>& outputs() const { return outputs_; }
  int64_t bytes() const { return value_bytes_ + scratch_bytes_; }  // of a call

  // `memory` has bytes(), aligned to 64.
  void run(const std::vector<float*>& inputs, const std::vector<float*>& outputs,
           unsigned char* memory, const Parallel& parallel) const;

  // The same, slices one after the other, and the seconds of each step.
  std::vector<double> profile(const std::vector<float*>& inputs, const std::vector<float*>& outputs,
                              unsigned char* memory, const Parallel& parallel) const;

  // The steps, one a line: the line of the program, and behind tabs the kernel, its threads,
  // predicted seconds, and how many images it takes at once.
  std::string describe() const;

 private:
  struct Value {
    int number;
    int64_t image_floats;
  };
  struct Stage {
    Schedule slice, rest;  // of `images`, and of those that are left over at the end
    int64_t images, slices, rest_images;
    bool side_by_side;
    std::vector<Value> inputs, outputs;

    int64_t all_slices() const { return slices + (rest_images > 0 ? 1 : 0); }
    // What a slice needs of memory.
    int64_t bytes() const { return round_up(max(slice.bytes(), rest.bytes()), 64); }
  };

  const int threads_;
  std::vector<int> inputs_, output_values_;
  std::vector<Extent> outputs_;
  std::vector<Stage> stages_;
  std::vector<int64_t> offsets_;  // in memory, of the values that pass between stages; else -1
  int64_t value_bytes_ = 0, scratch_bytes_ = 0;
  bool shares_work_ = false;  // among threads

  size_t steps() const;
  void add_stage(const Graph& graph, Weights& weights, const Parallel& parallel,
                 const Request& request, std::vector<Extent>* extents);
  void with_team(const Parallel& parallel, const std::function<void(const Parallel&)>& call) const;
  void run_stages(const std::vector<float*>& values, unsigned char* scratch,
                  const Parallel& parallel) const;
  void run_slice(const Stage& stage, int64_t index, const std::vector<float*>& values,
                 unsigned char* memory, const Parallel& parallel,
                 const std::function<void(size_t)>& after_step = {}) const;
  std::vector<float*> places(const std::vector<float*>& inputs, const std::vector<float*>& outputs,
                             unsigned char* memory) const;
};

}  // namespace plan
}  // namespace cnnext
