// SPDX-License-Identifier: BSD-3-Clause
#include "plan/stages.h"

#include <algorithm>
#include <chrono>
#include <sstream>

#include "common/kernel/machine.h"
#include "plan/operators.h"
#include "plan/team.h"

namespace cnnext {
namespace plan {
namespace {

// The node from which on there are no images: the number of nodes, if there is none.
size_t first_without_images(const Graph& graph, const std::vector<Extent>& extents) {
  size_t first = graph.nodes.size();
  for (; first > 0; --first) {
    const Node& node = graph.nodes[first - 1];
    const auto is_image = [&](int value) {
      return !extents[value].features && !extents[value].sequence;
    };
    if (std::any_of(node.operands.begin(), node.operands.end(), is_image)) break;
  }
  return first;
}

bool takes_whole_sequences(const Node& node) { return rule_of(node).sequences == Sequences::whole; }

int64_t weight_bytes(const Graph& graph, const Weights& weights) {
  int64_t bytes = 0;
  for (const Node& node : graph.nodes) {
    if (!node.has("weight")) continue;
    int64_t floats = 1;
    for (const int64_t size : weights.at(node.integer("weight")).sizes) floats *= size;
    bytes += 4 * floats;
  }
  return bytes;
}

// What the largest step reads and writes of an image.
int64_t image_bytes(const Graph& graph, const std::vector<Extent>& extents) {
  int64_t most = 0;
  for (const Node& node : graph.nodes) {
    int64_t floats = extents[node.result].size() / extents[node.result].n;
    for (const int value : node.operands) floats += extents[value].size() / extents[value].n;
    most = std::max(most, 4 * floats);
  }
  return most;
}

struct Slicing {
  int64_t images;
  bool side_by_side;
};

// A core keeps to itself slices that fit its own cache beside all weights.
Slicing slicing_of(int64_t n, int64_t image, int64_t weights, int threads) {
  if (n == 1 || image == 0) return {n, false};
  const Machine& m = machine();
  const int64_t in_l2 = (m.l2 - weights) / image;
  if (in_l2 > 0) return {std::min(in_l2, ceil_div(n, threads)), threads > 1};
  return {std::min(n, std::max<int64_t>(1, m.l3 / 2 / image)), false};
}

// The step of a slice whose line a step of the rest has, too: of as many images as are left over,
// another kernel may be chosen, and another number of steps.
size_t counterpart(const Schedule& slice, const Step& step, size_t index) {
  for (size_t i = min(index + 1, slice.steps.size()); i-- > 0;) {
    if (slice.steps[i]->line == step.line) return i;
  }
  return min(index, slice.steps.size() - 1);
}

}  // namespace

Stages::Stages(const Graph& graph, Weights& weights, const Request& request,
               const Parallel& parallel)
    : threads_(request.threads),
      inputs_(graph.inputs),
      output_values_(graph.outputs),
      offsets_(graph.values, -1) {
  std::vector<Extent> extents = Builder(graph, weights, request, parallel).infer();
  const size_t first = first_without_images(graph, extents);
  const bool one_row = request.inputs.empty() || request.inputs[0].n == 1;
  if (one_row || first == 0 || first == graph.nodes.size()) {
    add_stage(graph, weights, parallel, request, &extents);
  } else {
    const auto [images, features] = graph.split(first);
    for (const int value : features.inputs) {
      if (std::count(graph.inputs.begin(), graph.inputs.end(), value) > 0) continue;
      offsets_[value] = value_bytes_;
      value_bytes_ += round_up(4 * extents[value].size(), 64);
    }
    add_stage(images, weights, parallel, request, &extents);
    add_stage(features, weights, parallel, request, &extents);
  }
  for (const int value : graph.outputs) outputs_.push_back(extents[value]);
}

void Stages::add_stage(const Graph& graph, Weights& weights, const Parallel& parallel,
                       const Request& request, std::vector<Extent>* extents) {
  Request part = request;
  part.inputs.clear();
  for (const int value : graph.inputs) part.inputs.push_back((*extents)[value]);
  const int64_t n = part.inputs.empty() ? 1 : part.inputs[0].n;
  const auto has_n = [&](const Extent& e) { return e.n == n; };
  const bool sliceable =
      std::all_of(part.inputs.begin(), part.inputs.end(), has_n) &&
      std::none_of(graph.nodes.begin(), graph.nodes.end(), takes_whole_sequences);
  const Slicing slicing = sliceable ? slicing_of(n, image_bytes(graph, *extents),
                                                 weight_bytes(graph, weights), threads_)
                                    : Slicing{n, false};
  if (slicing.side_by_side) part.threads = 1;
  const auto schedule_of = [&](int64_t images) {
    for (Extent& e : part.inputs) e.n = sliceable ? images : e.n;
    return Builder(graph, weights, part, parallel).build();
  };
  Stage stage;
  stage.images = slicing.images;
  stage.slices = n / slicing.images;
  stage.rest_images = n % slicing.images;
  stage.side_by_side = slicing.side_by_side;
  stage.slice = schedule_of(stage.images);
  if (stage.rest_images > 0) stage.rest = schedule_of(stage.rest_images);
  const auto value_of = [&](int number) {
    return Value{number, (*extents)[number].size() / (*extents)[number].n};
  };
  for (const int value : graph.inputs) stage.inputs.push_back(value_of(value));
  for (const int value : graph.outputs) stage.outputs.push_back(value_of(value));
  const auto is_shared = [](const std::unique_ptr<Step>& step) { return step->threads > 1; };
  const auto shares = [&](const Schedule& schedule) {
    return std::any_of(schedule.steps.begin(), schedule.steps.end(), is_shared);
  };
  shares_work_ |= stage.side_by_side || shares(stage.slice) || shares(stage.rest);
  const int64_t at_once = stage.side_by_side ? threads_ : 1;
  scratch_bytes_ = std::max(scratch_bytes_, at_once * stage.bytes());
  stages_.push_back(std::move(stage));
}

void Stages::run_slice(const Stage& stage, int64_t index, const std::vector<float*>& values,
                       unsigned char* memory, const Parallel& parallel,
                       const std::function<void(size_t)>& after_step) const {
  const auto begins = [&](const std::vector<Value>& of) {
    std::vector<float*> result;
    for (const Value& value : of) {
      result.push_back(values[value.number] + index * stage.images * value.image_floats);
    }
    return result;
  };
  const Schedule& schedule = index < stage.slices ? stage.slice : stage.rest;
  schedule.run(begins(stage.inputs), begins(stage.outputs), memory, parallel, after_step);
}

std::vector<float*> Stages::places(const std::vector<float*>& inputs,
                                   const std::vector<float*>& outputs,
                                   unsigned char* memory) const {
  std::vector<float*> values(offsets_.size());
  for (size_t i = 0; i < offsets_.size(); ++i) {
    if (offsets_[i] >= 0) values[i] = reinterpret_cast<float*>(memory + offsets_[i]);
  }
  for (size_t i = 0; i < inputs.size(); ++i) values[inputs_[i]] = inputs[i];
  for (size_t i = 0; i < outputs.size(); ++i) values[output_values_[i]] = outputs[i];
  return values;
}

void Stages::run(const std::vector<float*>& inputs, const std::vector<float*>& outputs,
                 unsigned char* memory, const Parallel& parallel) const {
  const std::vector<float*> values = places(inputs, outputs, memory);
  with_team(parallel,
            [&](const Parallel& team) { run_stages(values, memory + value_bytes_, team); });
}

void Stages::with_team(const Parallel& parallel,
                       const std::function<void(const Parallel&)>& call) const {
  if (shares_work_) return Team::run(threads_, parallel, call);
  call(parallel);
}

void Stages::run_stages(const std::vector<float*>& values, unsigned char* scratch,
                        const Parallel& parallel) const {
  for (const Stage& stage : stages_) {
    const int64_t slices = stage.all_slices();
    if (!stage.side_by_side) {
      for (int64_t i = 0; i < slices; ++i) run_slice(stage, i, values, scratch, parallel);
      continue;
    }
    const int64_t chunks = std::min<int64_t>(threads_, slices);
    parallel(chunks, [&](int64_t chunk) {
      for (int64_t i = slices * chunk / chunks; i < slices * (chunk + 1) / chunks; ++i) {
        run_slice(stage, i, values, scratch + chunk * stage.bytes(), Alone());
      }
    });
  }
}

size_t Stages::steps() const {
  size_t steps = 0;
  for (const Stage& stage : stages_) steps += stage.slice.steps.size();
  return steps;
}

std::vector<double> Stages::profile(const std::vector<float*>& inputs,
                                    const std::vector<float*>& outputs, unsigned char* memory,
                                    const Parallel& parallel) const {
  using Clock = std::chrono::steady_clock;
  const std::vector<float*> values = places(inputs, outputs, memory);
  std::vector<double> seconds(steps());
  with_team(parallel, [&](const Parallel& team) {
    size_t first = 0;
    for (const Stage& stage : stages_) {
      for (int64_t i = 0; i < stage.all_slices(); ++i) {
        const Schedule& schedule = i < stage.slices ? stage.slice : stage.rest;
        Clock::time_point last = Clock::now();
        run_slice(stage, i, values, memory + value_bytes_, team, [&](size_t step) {
          const Clock::time_point now = Clock::now();
          if (&schedule != &stage.slice) {
            step = counterpart(stage.slice, *schedule.steps[step], step);
          }
          seconds[first + step] += std::chrono::duration<double>(now - last).count();
          last = now;
        });
      }
      first += stage.slice.steps.size();
    }
  });
  return seconds;
}

std::string Stages::describe() const {
  std::ostringstream lines;
  lines.imbue(std::locale::classic());
  for (const Stage& stage : stages_) {
    for (const auto& step : stage.slice.steps) {
      lines << step->line << '\t' << step->kernel << '\t' << step->threads << '\t' << step->seconds
            << '\t' << stage.images << '\n';
    }
  }
  return lines.str();
}

}  // namespace plan
}  // namespace cnnext
