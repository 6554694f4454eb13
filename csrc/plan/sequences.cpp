// SPDX-License-Identifier: BSD-3-Clause
// Sequences, between images and features, and the recurrent layers that walk along them.
#include <cstring>

#include "common/kernel/machine.h"
#include "plan/operators.h"
#include "recurrence/recurrence.h"

namespace cnnext {
namespace plan {
namespace {

Extent sequence(int64_t n, int64_t steps, int64_t c) { return {n, c, 1, steps, false, true}; }

const Extent& sequence_of(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  if (!x.sequence) node.fail(text(x) + " is no sequence");
  return x;
}

// ----------------------------------------------------------------------------------------- rows

Extent infer_rows(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  if (x.features) node.fail(text(x) + " is no image");
  if (node.integer("height", x.h) != x.h) {
    node.fail("the height of " + text(x) + " is not the expected");
  }
  return sequence(x.n, x.pixels(), x.c);
}

void lower_rows(const Node& node, Builder& b) { b.alias(node.result, b.read(node.operands[0])); }

// ------------------------------------------------------------------------------------ transpose

// Copies each row to where it belongs.
class Transpose final : public Step {
 public:
  Transpose(const Extent& from, const Place& x, const Place& y) : from_(from), x_(x), y_(y) {
    kernel = "copied_rows";
    seconds = 2.0 * static_cast<double>(from.size()) / rates(active_isa()).moved_floats;
  }

  void run(const Memory& memory, unsigned char*, const Parallel&) const override {
    const float* const x = memory.at(x_);
    float* const y = memory.at(y_);
    for (int64_t i = 0; i < from_.n; ++i) {
      for (int64_t j = 0; j < from_.w; ++j) {
        std::memcpy(y + (j * from_.n + i) * y_.pixel, x + (i * from_.w + j) * x_.pixel,
                    static_cast<size_t>(from_.c) * sizeof(float));
      }
    }
  }

 private:
  const Extent from_;
  const Place x_, y_;
};

Extent infer_transpose(const Node& node, const Builder& b) {
  const Extent& x = sequence_of(node, b);
  return sequence(x.w, x.n, x.c);
}

void lower_transpose(const Node& node, Builder& b) {
  const Extent& from = b.extent(node.operands[0]);
  const Place x = b.read(node.operands[0]);
  if (from.n == 1 || from.w == 1) return b.alias(node.result, x);
  const Place y = b.write(node.result);
  b.add(node.line(), std::make_unique<Transpose>(from, x, y), {x}, y);
}

// ----------------------------------------------------------------------------------------- step

struct StepPlace {
  int64_t index;
  bool outer;  // along the first dimension, of which each index has x.w rows
};

StepPlace step_of(const Node& node, const Extent& x) {
  const int64_t dim = node.integer("dim"), index = node.integer("index");
  const int64_t count = dim == 0 ? x.n : x.w;
  if (dim < 0 || dim > 1 || index < -count || index >= count) {
    node.fail("there is no such step in " + text(x));
  }
  return {index < 0 ? index + count : index, dim == 0};
}

Extent infer_step(const Node& node, const Builder& b) {
  const Extent& x = sequence_of(node, b);
  return {step_of(node, x).outer ? x.w : x.n, x.c, 1, 1, true};
}

void lower_step(const Node& node, Builder& b) {
  const Extent& x = b.extent(node.operands[0]);
  const StepPlace step = step_of(node, x);
  Place place = b.read(node.operands[0]);
  place.offset += step.index * place.pixel * (step.outer ? x.w : 1);
  if (!step.outer) place.pixel *= x.w;
  b.alias(node.result, place);
}

// ----------------------------------------------------------------------------------- recurrence

CellKind cell_of(const Node& node) {
  const std::string name = node.word("cell", "");
  if (name == "lstm") return CellKind::lstm;
  if (name == "gru") return CellKind::gru;
  if (name == "rnn_tanh") return CellKind::rnn_tanh;
  if (name == "rnn_relu") return CellKind::rnn_relu;
  node.fail("there is no cell '" + name + "'");
}

int64_t directions_of(const Node& node) { return node.has("weight_ih_reverse") ? 2 : 1; }

RecurrenceShape recurrence_shape(const Node& node, const Builder& b) {
  const Extent& x = sequence_of(node, b);
  const CellKind cell = cell_of(node);
  return {cell, x.n, x.n * x.w, x.w, x.c, b.weight(node, "weight_hh").size(1)};
}

// A dense matrix among the weights.
const float* matrix(const Node& node, const Builder& b, const std::string& key, int64_t rows,
                    int64_t columns) {
  const Weight& w = b.weight(node, key.c_str());
  const bool fits = w.sizes.size() == 2 && w.sizes[0] == rows && w.sizes[1] == columns &&
                    (rows == 1 || w.strides[0] == columns) && (columns == 1 || w.strides[1] == 1);
  if (!fits) {
    node.fail(key + " does not fit an input of " + text(b.extent(node.operands.at(0))));
  }
  return w.data;
}

RecurrenceOperands<float> recurrence_operands(const Node& node, const Builder& b,
                                              const RecurrenceShape& s, bool reverse) {
  const std::string end = reverse ? "_reverse" : "";
  const int64_t rows = s.gates() * s.hidden;
  RecurrenceOperands<float> o{};
  o.reverse = reverse;
  o.w_ih = matrix(node, b, "weight_ih" + end, rows, s.input);
  o.w_hh = matrix(node, b, "weight_hh" + end, rows, s.hidden);
  o.b_ih = b.vector(node, ("bias_ih" + end).c_str(), rows);
  o.b_hh = b.vector(node, ("bias_hh" + end).c_str(), rows);
  if ((o.b_ih == nullptr) != (o.b_hh == nullptr)) node.fail("one of two biases is missing");
  return o;
}

Extent infer_recurrence(const Node& node, const Builder& b) {
  const RecurrenceShape s = recurrence_shape(node, b);
  const int64_t directions = directions_of(node);
  for (int64_t d = 0; d < directions; ++d) recurrence_operands(node, b, s, d == 1);
  return sequence(s.steps, s.batch, directions * s.hidden);
}

// One direction: what it reads in all calls, and where what it writes lies.
struct Direction {
  RecurrenceOperands<float> operands;
  PackedBytes packed;
  Place y, c;  // c is memory of its own
};

// All directions of a layer, each on a thread or one after the other on all.
class Recur final : public Step {
 public:
  using Kernel = KernelOf<Recurrence, float>;

  Recur(const Kernel& chosen, const RecurrenceShape& shape, const Plan& plan, bool side_by_side,
        int num_threads, std::vector<Direction> directions, const Place& x, const Place& y)
      : chosen_(chosen),
        shape_(shape),
        plan_(plan),
        side_by_side_(side_by_side),
        threads_(num_threads),
        directions_(std::move(directions)),
        zeros_(static_cast<size_t>(shape.batch * shape.hidden)),
        x_(x),
        y_(y) {
    const auto at_once = static_cast<int64_t>(side_by_side ? directions_.size() : 1);
    kernel = chosen.name;
    seconds = chosen.cost(shape, threads_).seconds *
              static_cast<double>(static_cast<int64_t>(directions_.size()) / at_once);
    threads = side_by_side ? static_cast<int>(at_once) : threads_;
    scratch_bytes = at_once * running_scratch_bytes(plan, threads_);
  }

  void run(const Memory& memory, unsigned char* scratch, const Parallel& parallel) const override {
    const auto count = static_cast<int64_t>(directions_.size());
    if (!side_by_side_) {
      for (int64_t d = 0; d < count; ++d) run_direction(d, memory, scratch, parallel);
      return;
    }
    parallel(count, [&](int64_t d) {
      run_direction(d, memory, scratch + d * running_scratch_bytes(plan_, threads_), Alone());
    });
  }

 private:
  const Kernel& chosen_;
  const RecurrenceShape shape_;
  const Plan plan_;
  const bool side_by_side_;
  const int threads_;  // of a direction
  const std::vector<Direction> directions_;
  const std::vector<float> zeros_;
  const Place x_, y_;

  void run_direction(int64_t d, const Memory& memory, unsigned char* scratch,
                     const Parallel& parallel) const {
    const Direction& direction = directions_[d];
    RecurrenceOperands<float> o = direction.operands;
    o.x = memory.at(x_);
    o.h0 = zeros_.data();
    o.c0 = zeros_.data();
    o.y = memory.at(direction.y);
    o.c_n = memory.at(direction.c);
    run_planned(chosen_, shape_, plan_, o, direction.packed.get(), threads_, scratch, parallel);
    if (direction.y.buffer == y_.buffer) return;
    float* const y = memory.at(y_) + d * shape_.hidden;
    for (int64_t row = 0; row < shape_.rows; ++row) {
      std::memcpy(y + row * y_.pixel, o.y + row * shape_.hidden,
                  static_cast<size_t>(shape_.hidden) * sizeof(float));
    }
  }
};

void lower_recurrence(const Node& node, Builder& b) {
  const RecurrenceShape s = recurrence_shape(node, b);
  const int64_t count = directions_of(node);
  const int all = b.threads_for(static_cast<double>(count) * s.macs());
  const auto cost = [&](int threads) {
    return select<Recurrence, float>(Pass::forward, s, threads).cost(s, threads).seconds;
  };
  // Two directions on two threads never wait for each other; more threads may take each faster.
  const bool side_by_side = count == 2 && all > 1 && cost(1) < 2 * cost(all);
  const int threads = side_by_side ? 1 : all;
  const auto& kernel = select<Recurrence, float>(Pass::forward, s, threads);
  const Plan plan = kernel.plan(s, threads);

  const Place x = b.read_dense(node.operands[0]), y = b.write(node.result);
  const bool has_c = s.cell == CellKind::lstm;
  std::vector<Direction> directions;
  std::vector<Place> uses{x};
  for (int64_t d = 0; d < count; ++d) {
    Direction direction{recurrence_operands(node, b, s, d == 1), nullptr, y, {}};
    if (count > 1) direction.y = b.new_place(sequence(s.steps, s.batch, s.hidden));
    if (has_c) direction.c = b.new_place({s.batch, s.hidden, 1, 1, true});
    uses.insert(uses.end(), {direction.y, direction.c});
    const std::string end = d == 1 ? "_reverse" : "";
    const auto number = [&](const char* key) { return node.integer((key + end).c_str(), -1); };
    const std::vector<int64_t> others{number("weight_hh"), number("bias_ih"), number("bias_hh")};
    direction.packed = b.packed<Recurrence>(kernel, s, plan, direction.operands, threads,
                                            number("weight_ih"), others);
    directions.push_back(std::move(direction));
  }
  b.add(
      node.line(),
      std::make_unique<Recur>(kernel, s, plan, side_by_side, threads, std::move(directions), x, y),
      uses, y);
}

}  // namespace

const OperatorRule kRowsRule{"rows", 1, 1, "height", infer_rows, lower_rows, false};
const OperatorRule kTransposeRule{
    "transpose", 1, 1, "", infer_transpose, lower_transpose, false, Sequences::whole};
const OperatorRule kStepRule{"step",     1,          1,     "index dim",
                             infer_step, lower_step, false, Sequences::whole};
const OperatorRule kRecurrenceRule{
    "recurrence",
    1,
    1,
    "cell weight_ih weight_hh bias_ih bias_hh "
    "weight_ih_reverse weight_hh_reverse bias_ih_reverse bias_hh_reverse",
    infer_recurrence,
    lower_recurrence,
    false,
    Sequences::whole};

}  // namespace plan
}  // namespace cnnext
