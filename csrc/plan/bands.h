// SPDX-License-Identifier: BSD-3-Clause
// Chains of convolutions over bands of rows. Of a value that does not fit the caches of all cores,
// each thread makes only as many rows at a time as the next convolution of the chain needs for a
// band of its own, and what lies between two convolutions never leaves the core's cache:
//
//   for each band of rows of the last result, from the top to the bottom:
//     for each convolution: the rows that the band needs and that are not there yet
//
// It pays for the wide values of an inverted bottleneck, which a pointwise convolution makes, a
// depthwise one filters, and another pointwise one takes together.
#pragma once

#include <vector>

#include "conv2d/select.h"
#include "plan/step.h"

namespace cnnext {
namespace plan {

class Builder;
struct Graph;

class BandsStep final : public Step {
 public:
  // A convolution of one image; its operands lack their places in memory.
  struct Member {
    const Conv2dKernel<float>* kernel;
    Conv2dShape shape;
    Conv2dOperands<float> operands;
    PackedBytes packed;
  };

  // `x` is what the first member takes, `residual` and `y` belong to the last.
  BandsStep(std::vector<Member> members, int64_t images, int num_threads, const Place& x,
            const Place& residual, const Place& y);

  void run(const Memory& memory, unsigned char* scratch, const Parallel& parallel) const override;

 private:
  // What a member computes for a band: some rows, or none.
  struct Part {
    Conv2dShape shape;
    Plan plan;
  };
  struct Band {
    std::vector<RowRange> rows;         // of each member's result, that are there in the end
    std::vector<Part> all, additional;  // additional to those of the band before
  };

  const std::vector<Member> members_;
  const int64_t images_;
  const Place x_, residual_, y_;
  std::vector<Band> bands_;             // of an image
  std::vector<int64_t> value_offsets_;  // in a thread's memory, of all results but the last
  int64_t plan_offset_ = 0, thread_bytes_ = 0;

  Band band(int64_t index, int64_t count) const;
  void run_band(const Memory& memory, int64_t image, int64_t index, bool continues,
                unsigned char* memory_of_thread) const;
};

// The nodes of a graph that are chains: for each node the numbers of all nodes of the chain that it
// ends, in their order; itself alone, if it is in none; nothing, if a later node computes it.
std::vector<std::vector<size_t>> find_chains(const Graph& graph, const Builder& builder);

// Adds the step of a chain.
void lower_chain(const Graph& graph, const std::vector<size_t>& chain, Builder& builder);

}  // namespace plan
}  // namespace cnnext
