// SPDX-License-Identifier: BSD-3-Clause
// How a graph becomes the steps of a plan: what the rules of its operators (operators.h) ask for,
// and what they build.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "common/kernel/scratch.h"
#include "plan/graph.h"
#include "plan/memory.h"
#include "plan/step.h"
#include "scale/scale.h"

namespace cnnext {
namespace plan {

// The steps of a graph for inputs of given extents: what Plan is to a kernel.
struct Schedule {
  // Memory of the schedule's own, or that of an input or output, which the caller has.
  struct Buffer {
    enum class Kind { arena, input, output } kind;
    int index;  // of the input or output
  };

  std::vector<std::unique_ptr<Step>> steps;
  std::vector<Buffer> buffers;
  Arena arena;  // has an offset for each buffer, and no bytes for inputs and outputs
  int64_t scratch_bytes = 0;

  int64_t bytes() const { return round_up(arena.bytes, 64) + scratch_bytes; }
  // `memory` has bytes(), aligned to 64; after_step(i) is called behind step i, if there is any.
  void run(const std::vector<float*>& inputs, const std::vector<float*>& outputs,
           unsigned char* memory, const Parallel& parallel,
           const std::function<void(size_t)>& after_step = {}) const;
};

struct Request {
  std::vector<Extent> inputs;
  Layout layout;  // of inputs and outputs
  int threads;
};

class Builder {
 public:
  Builder(const Graph& graph, Weights& weights, const Request& request, const Parallel& parallel);

  Schedule build();
  // The extents of all values, without building anything.
  std::vector<Extent> infer();

  // For the rules of operators.

  const Extent& extent(int value) const { return extents_[value]; }
  Weights& weights() { return weights_; }
  const Weight& weight(const Node& node, const char* key) const;
  // The weight of this key, a vector of so many floats; null if the node has no such key.
  const float* vector(const Node& node, const char* key, int64_t size) const;
  int threads() const { return request_.threads; }
  int threads_for(double work) const;  // one, where there is too little to share

  // Where an operand lies; read_dense() copies it first if its pixels lie apart. Where the result
  // is to lie: dense, or a range of a larger buffer if the rule says that it writes ranges.
  Place read(int value) { return places_[value]; }
  Place read_dense(int value);
  Place write(int value);
  // Whether an input lies as its caller has it, for a convolution that reads planes.
  bool lies_in_planes(int value) const { return in_planes_[value]; }
  // Makes a value another name for what lies there.
  void alias(int value, const Place& place) { places_[value] = place; }
  // A place for what is no value of the graph.
  Place new_place(const Extent& extent) {
    return new_place(extent, {Schedule::Buffer::Kind::arena, 0});
  }
  // Where that lies which nodes of the same key have in common; no buffer, if none has made it.
  Place& shared(const std::vector<int64_t>& key) { return shared_[key]; }

  // Adds the step that copies a value, perhaps into another layout.
  void reorder(const std::string& line, const Extent& extent, Layout from, const Place& x,
               Layout to, const Place& y);

  // Adds the step of an epilogue alone, of dense x and y, which may be the same.
  void finish(const std::string& line, const Extent& extent, const Epilogue<float>& epilogue,
              const Place& x, const Place& residual, const Place& y);

  // Adds the step of factors of channels, of those that lie at `factors` if the operands have none.
  void scale(const std::string& line, const ScaleShape& shape, const ScaleOperands<float>& operands,
             const Place& x, const Place& factors, const Place& y);

  // Adds a step of any kind.
  void add(const std::string& line, std::unique_ptr<Step> step, const std::vector<Place>& reads,
           const Place& written);

  // The weight of that number, packed as the plan asks for; null if it asks for nothing. weights.h
  // says what a part is.
  template <class Op>
  PackedBytes packed(const KernelOf<Op, float>& kernel, const typename Op::Shape& shape,
                     const Plan& plan, const typename Op::template Operands<float>& operands,
                     int threads, int64_t weight, const std::vector<int64_t>& part) {
    if (!plan.weights.exists()) return nullptr;
    return weights_.packed(weight, plan.weights, part, [&](unsigned char* bytes) {
      Scratch scratch;
      pack_weights(kernel, shape, plan, operands, bytes, threads,
                   scratch.reserve(packing_scratch_bytes(plan, threads)), parallel_);
    });
  }

  // Adds a kernel's step, with the weight of that number packed; -1: there is none to pack. bind()
  // fills in the addresses of a call.
  template <class Op>
  void add(const std::string& line, const KernelOf<Op, float>& kernel,
           const typename Op::Shape& shape, int threads,
           const typename Op::template Operands<float>& operands, int64_t weight,
           const std::vector<int64_t>& part, const std::vector<Place>& reads, const Place& written,
           typename KernelStep<Op>::Bind bind) {
    const Plan plan = kernel.plan(shape, threads);
    PackedBytes bytes;
    if (weight >= 0) bytes = packed<Op>(kernel, shape, plan, operands, threads, weight, part);
    add(line,
        std::make_unique<KernelStep<Op>>(kernel, shape, plan, operands, std::move(bytes), threads,
                                         std::move(bind)),
        reads, written);
  }
  // The same for an operator without weights.
  template <class Op>
  void add(const std::string& line, const typename Op::Shape& shape,
           const typename Op::template Operands<float>& operands, const std::vector<Place>& reads,
           const Place& written, typename KernelStep<Op>::Bind bind) {
    const int threads = threads_for(Op::work(shape));
    add<Op>(line, select<Op, float>(Pass::forward, shape, threads), shape, threads, operands, -1,
            {}, reads, written, std::move(bind));
  }

 private:
  const Graph& graph_;
  Weights& weights_;
  const Request& request_;
  const Parallel& parallel_;
  std::vector<Extent> extents_;
  std::vector<Place> places_;
  std::vector<bool> in_planes_;
  std::map<std::vector<int64_t>, Place> shared_;
  std::vector<Lifetime> lifetimes_;  // of buffers
  Schedule schedule_;

  void place_inputs();
  void place_outputs();
  void place_concatenations();
  bool lie_in_order(const std::vector<int>& values) const;
  void lower(const Node& node);
  void store_outputs();
  bool lies_as_output(int value) const;
  bool is_read_in_planes(int value) const;
  Place new_place(const Extent& extent, Schedule::Buffer buffer);
  void use(const Place& place);
};

}  // namespace plan
}  // namespace cnnext
