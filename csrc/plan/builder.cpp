// SPDX-License-Identifier: BSD-3-Clause
#include "plan/builder.h"

#include <algorithm>

#include "common/kernel/machine.h"
#include "epilogue/finish.h"
#include "plan/bands.h"
#include "plan/operators.h"
#include "plan/products.h"
#include "reorder/reorder.h"

namespace cnnext {
namespace plan {

std::string text(const Extent& e) {
  if (e.sequence) {
    return "(" + std::to_string(e.n) + ", " + std::to_string(e.w) + ", " + std::to_string(e.c) +
           ")";
  }
  const std::string features = "(" + std::to_string(e.n) + ", " + std::to_string(e.c);
  if (e.features) return features + ")";
  return features + ", " + std::to_string(e.h) + ", " + std::to_string(e.w) + ")";
}

// ----------------------------------------------------------------------------------- a schedule

void Schedule::run(const std::vector<float*>& inputs, const std::vector<float*>& outputs,
                   unsigned char* memory, const Parallel& parallel,
                   const std::function<void(size_t)>& after_step) const {
  std::vector<float*> begins(buffers.size());
  for (size_t i = 0; i < buffers.size(); ++i) {
    switch (buffers[i].kind) {
      case Buffer::Kind::arena:
        begins[i] = reinterpret_cast<float*>(memory + arena.offsets[i]);
        break;
      case Buffer::Kind::input:
        begins[i] = inputs[buffers[i].index];
        break;
      case Buffer::Kind::output:
        begins[i] = outputs[buffers[i].index];
        break;
    }
  }
  const Memory places(std::move(begins));
  for (size_t i = 0; i < steps.size(); ++i) {
    steps[i]->run(places, memory + round_up(arena.bytes, 64), parallel);
    if (after_step) after_step(i);
  }
}

// ----------------------------------------------------------------------- what rules can ask for

const Weight& Builder::weight(const Node& node, const char* key) const {
  const int64_t index = node.integer(key);
  if (index < 0 || index >= weights_.count()) node.fail("there is no such weight");
  return weights_.at(index);
}

const float* Builder::vector(const Node& node, const char* key, int64_t size) const {
  if (!node.has(key)) return nullptr;
  const Weight& found = weight(node, key);
  if (found.sizes.size() != 1 || found.sizes[0] != size || (size > 1 && found.strides[0] != 1)) {
    node.fail(std::string(key) + " is no vector of " + std::to_string(size));
  }
  return found.data;
}

int Builder::threads_for(double work) const {
  return work < rates(active_isa()).threaded_macs ? 1 : request_.threads;
}

Place Builder::read_dense(int value) {
  const Place& place = places_[value];
  const Extent& e = extents_[value];
  if (place.pixel == e.c || e.n * e.pixels() == 1) return place;
  const Place copy = new_place(e);
  reorder("copy", e, Layout::channels_last, place, Layout::channels_last, copy);
  return copy;
}

Place Builder::write(int value) {
  if (places_[value].buffer < 0) places_[value] = new_place(extents_[value]);
  return places_[value];
}

Place Builder::new_place(const Extent& extent, Schedule::Buffer buffer) {
  const bool in_arena = buffer.kind == Schedule::Buffer::Kind::arena;
  const auto bytes = in_arena ? extent.size() * static_cast<int64_t>(sizeof(float)) : 0;
  constexpr int kUnused = -1;
  schedule_.buffers.push_back(buffer);
  lifetimes_.push_back({bytes, kUnused, kUnused});
  return {static_cast<int>(schedule_.buffers.size()) - 1, 0, extent.c};
}

void Builder::reorder(const std::string& line, const Extent& e, Layout from, const Place& x,
                      Layout to, const Place& y) {
  add<Reorder>(line, {e.n, e.c, e.pixels(), from, to, x.pixel, y.pixel}, {}, {x}, y,
               [x, y](const Memory& memory, ReorderOperands<float>* operands) {
                 operands->x = memory.at(x);
                 operands->y = memory.at(y);
               });
}

void Builder::finish(const std::string& line, const Extent& e, const Epilogue<float>& epilogue,
                     const Place& x, const Place& residual, const Place& y) {
  FinishOperands<float> o{};
  o.epilogue = epilogue;
  const int64_t residual_row = residual.buffer < 0 ? e.c : residual.pixel;
  add<Finish>(line, {e.n * e.pixels(), e.c, 0, 1, residual_row}, o, {x, residual}, y,
              [x, residual, y](const Memory& memory, FinishOperands<float>* operands) {
                operands->x = memory.at(x);
                operands->epilogue.residual = memory.at(residual);
                operands->y = memory.at(y);
              });
}

void Builder::scale(const std::string& line, const ScaleShape& shape,
                    const ScaleOperands<float>& operands, const Place& x, const Place& factors,
                    const Place& y) {
  add<Scale>(line, shape, operands, {x, factors}, y,
             [x, factors, y](const Memory& memory, ScaleOperands<float>* o) {
               o->x = memory.at(x);
               if (o->factor == nullptr) o->factor = memory.at(factors);
               o->y = memory.at(y);
             });
}

void Builder::add(const std::string& line, std::unique_ptr<Step> step,
                  const std::vector<Place>& reads, const Place& written) {
  step->line = line;
  for (const Place& place : reads) use(place);
  use(written);
  schedule_.scratch_bytes = std::max(schedule_.scratch_bytes, step->scratch_bytes);
  schedule_.steps.push_back(std::move(step));
}

void Builder::use(const Place& place) {
  if (place.buffer < 0) return;
  Lifetime& lifetime = lifetimes_[place.buffer];
  const int step = static_cast<int>(schedule_.steps.size());
  if (lifetime.first < 0) lifetime.first = step;
  lifetime.last = step;
}

// ------------------------------------------------------------------------------------- building

Builder::Builder(const Graph& graph, Weights& weights, const Request& request,
                 const Parallel& parallel)
    : graph_(graph),
      weights_(weights),
      request_(request),
      parallel_(parallel),
      extents_(graph.values),
      places_(graph.values),
      in_planes_(graph.values) {}

Schedule Builder::build() {
  infer();
  place_outputs();
  place_concatenations();
  place_inputs();
  const std::vector<std::vector<size_t>> chains = find_chains(graph_, *this);
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    if (chains[i].size() == 1) lower(graph_.nodes[i]);
    if (chains[i].size() > 1) lower_chain(graph_, chains[i], *this);
  }
  store_outputs();
  schedule_.arena = place(lifetimes_);
  return std::move(schedule_);
}

std::vector<Extent> Builder::infer() {
  for (size_t i = 0; i < graph_.inputs.size(); ++i) extents_[graph_.inputs[i]] = request_.inputs[i];
  constexpr double kMaxElements = 1e15;  // their bytes can be counted
  for (const Node& node : graph_.nodes) {
    Extent& e = extents_[node.result];
    const OperatorRule& rule = rule_of(node);
    for (const int value : node.operands) {
      if (extents_[value].sequence && rule.sequences == Sequences::none) {
        node.fail("it takes no sequences, " + text(extents_[value]));
      }
    }
    e = rule.infer(node, *this);
    if (static_cast<double>(e.n) * static_cast<double>(e.c) * static_cast<double>(e.h) *
            static_cast<double>(e.w) >
        kMaxElements) {
      node.fail("a result of " + text(e) + " is too large");
    }
  }
  return extents_;
}

// Where a result belongs into a range that its kernel cannot write, it is copied there.
void Builder::lower(const Node& node) {
  const OperatorRule& rule = rule_of(node);
  const Place range = places_[node.result];
  const Extent& e = extents_[node.result];
  const bool copies = range.buffer >= 0 && range.pixel != e.c && !rule.writes_ranges;
  if (copies) places_[node.result] = Place{};
  rule.lower(node, *this);
  if (!copies) return;
  reorder("copy", e, Layout::channels_last, places_[node.result], Layout::channels_last, range);
  places_[node.result] = range;
}

// Whether a value in channels_last is what a caller expects of it.
bool Builder::lies_as_output(int value) const {
  const Extent& e = extents_[value];
  return request_.layout == Layout::channels_last || e.sequence || e.pixels() == 1 || e.c == 1;
}

void Builder::place_inputs() {
  for (size_t i = 0; i < graph_.inputs.size(); ++i) {
    const int value = graph_.inputs[i];
    const Extent& e = extents_[value];
    const Place given = new_place(e, {Schedule::Buffer::Kind::input, static_cast<int>(i)});
    in_planes_[value] = !lies_as_output(value) && is_read_in_planes(value);
    if (lies_as_output(value) || in_planes_[value]) {
      places_[value] = given;
    } else {
      reorder("input", e, Layout::nchw, given, Layout::channels_last, write(value));
    }
  }
}

bool Builder::is_read_in_planes(int value) const {
  const Node* reader = nullptr;
  int64_t uses = std::count(graph_.outputs.begin(), graph_.outputs.end(), value);
  for (const Node& node : graph_.nodes) {
    const int64_t here = std::count(node.operands.begin(), node.operands.end(), value);
    if (here > 0) reader = &node;
    uses += here;
  }
  return uses == 1 && reader != nullptr && reader->operands[0] == value &&
         reads_planes(*reader, *this);
}

// What a node computes right into the memory of an output.
void Builder::place_outputs() {
  for (const Node& node : graph_.nodes) {
    const auto output = std::find(graph_.outputs.begin(), graph_.outputs.end(), node.result);
    if (output == graph_.outputs.end() || !lies_as_output(node.result)) continue;
    const auto index = static_cast<int>(output - graph_.outputs.begin());
    places_[node.result] =
        new_place(extents_[node.result], {Schedule::Buffer::Kind::output, index});
  }
}

// The last one first: where a network concatenates what it has concatenated before, or the first of
// what it concatenates later, the earlier lies within the later.
void Builder::place_concatenations() {
  for (auto node = graph_.nodes.rbegin(); node != graph_.nodes.rend(); ++node) {
    if (node->op != kConcatRule.name) continue;
    if (lie_in_order(node->operands) && places_[node->result].buffer < 0) {
      places_[node->result] = places_[node->operands[0]];
    }
    Place range = write(node->result);
    for (const int value : node->operands) {
      const bool is_input = contains(graph_.inputs, value);
      if (!is_input && places_[value].buffer < 0) places_[value] = range;
      range.offset += extents_[value].c;
    }
  }
}

// Whether values have places already, one behind the other in every pixel.
bool Builder::lie_in_order(const std::vector<int>& values) const {
  Place next = places_[values[0]];
  for (const int value : values) {
    const Place& place = places_[value];
    if (place.buffer < 0 || place.buffer != next.buffer || place.offset != next.offset ||
        place.pixel != next.pixel) {
      return false;
    }
    next.offset += extents_[value].c;
  }
  return true;
}

void Builder::store_outputs() {
  for (size_t i = 0; i < graph_.outputs.size(); ++i) {
    const int value = graph_.outputs[i];
    const Place& place = places_[value];
    const Schedule::Buffer& buffer = schedule_.buffers[place.buffer];
    if (buffer.kind == Schedule::Buffer::Kind::output && buffer.index == static_cast<int>(i)) {
      continue;
    }
    const Extent& e = extents_[value];
    const Layout layout = lies_as_output(value) ? Layout::channels_last : Layout::nchw;
    reorder("output", e, Layout::channels_last, place, layout,
            new_place(e, {Schedule::Buffer::Kind::output, static_cast<int>(i)}));
  }
}

}  // namespace plan
}  // namespace cnnext
