// SPDX-License-Identifier: BSD-3-Clause
#include "plan/prologue.h"

namespace cnnext {
namespace plan {
namespace {

bool is_relu(const Node& node) {
  if (!node.has("x_activation")) return false;
  if (node.word("x_activation", "") != "relu") node.fail("x_activation is not relu");
  return true;
}

// Without factors that are a value.
Prologue<float> read_prologue(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands[0]);
  Prologue<float> prologue;
  if (takes_factors(node)) {
    const Extent& factors = b.extent(node.operands[1]);
    if (factors.n != x.n || factors.c != x.c || factors.pixels() != 1) {
      node.fail(text(factors) + " are no factors of " + text(x));
    }
    prologue.scale_image = x.c;
  } else {
    prologue.scale = b.vector(node, "x_scale", x.c);
  }
  prologue.shift = b.vector(node, "x_shift", x.c);
  prologue.relu = is_relu(node);
  return prologue;
}

// What tells apart the values that prologues make.
std::vector<int64_t> key_of(const Node& node) {
  const bool factors = takes_factors(node);
  return {node.operands[0], factors, factors ? node.operands[1] : node.integer("x_scale"),
          node.integer("x_shift", -1), is_relu(node)};
}

// The prologue as a step.
struct Preparation {
  ScaleShape shape;
  ScaleOperands<float> operands{};

  Preparation(const Extent& e, const Place& x, const Prologue<float>& prologue)
      : shape{e.n, e.c, e.pixels(), x.pixel, e.c, prologue.scale_image} {
    operands.factor = prologue.scale;
    operands.epilogue.bias = prologue.shift;
    if (prologue.relu) operands.epilogue.activation = Activation::relu;
  }
  double seconds(int threads) const {
    return select<Scale, float>(Pass::forward, shape, threads).cost(shape, threads).seconds;
  }
};

}  // namespace

bool takes_factors(const Node& node) { return node.word("x_scale", "") == "f"; }

PreparedInput prepare(const Node& node, Builder& b, const Conv2dShape& s, int threads,
                      const SelectOptions& options) {
  const auto& kernel = select_conv2d<float>(Pass::forward, s, threads, options);
  const Place x = b.read(node.operands[0]);
  if (!node.has("x_scale")) {
    if (node.has("x_shift") || node.has("x_activation")) node.fail("it lacks x_scale");
    return {&kernel, x, {}, {}};
  }
  const Prologue<float> prologue = read_prologue(node, b);
  const Extent& e = b.extent(node.operands[0]);
  const Preparation step(e, x, prologue);
  Place& prepared = b.shared(key_of(node));
  const bool exists = prepared.buffer >= 0;
  SelectOptions with_prologue = options;
  with_prologue.has_prologue = true;
  const auto& fused = select_conv2d<float>(Pass::forward, s, threads, with_prologue);
  const double apart = predicted_seconds(kernel, s, threads, options) +
                       (exists ? 0 : step.seconds(b.threads_for(Scale::work(step.shape))));
  const bool fuses = predicted_seconds(fused, s, threads, with_prologue) <= apart;
  if (!fuses && exists) return {&kernel, prepared, {}, {}};
  const Place factors = takes_factors(node) ? b.read_dense(node.operands[1]) : Place{};
  if (fuses) return {&fused, x, prologue, factors};
  prepared = b.new_place(e);
  b.scale(node.line(), step.shape, step.operands, x, factors, prepared);
  return {&kernel, prepared, {}, {}};
}

}  // namespace plan
}  // namespace cnnext
