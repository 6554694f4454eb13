// SPDX-License-Identifier: BSD-3-Clause
// What is done to each element by itself: the epilogue as a step of its own, and factors of
// channels.
#include "plan/operators.h"

namespace cnnext {
namespace plan {
namespace {

void finish(const Node& node, Builder& b, const Place& residual) {
  Epilogue<float> epilogue;
  node.read_activation(&epilogue);
  const Place x = b.read_dense(node.operands[0]);
  b.finish(node.line(), b.extent(node.result), epilogue, x, residual, b.write(node.result));
}

Extent infer_activation(const Node& node, const Builder& b) {
  return b.extent(node.operands.at(0));
}

void lower_activation(const Node& node, Builder& b) { finish(node, b, {}); }

Extent infer_add(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  if (!(x == b.extent(node.operands.at(1)))) {
    node.fail(text(x) + " and " + text(b.extent(node.operands[1])) + " do not add up");
  }
  return x;
}

void lower_add(const Node& node, Builder& b) { finish(node, b, b.read(node.operands[1])); }

// ----------------------------------------------------------------------------------------- scale

// The factors lie in memory that no call writes, or are a value: one of them is null. All pixels
// of an image have the same: `e` is the result's extent, perhaps with pixels for images.
void scale(const Node& node, Builder& b, const Extent& e, const float* weights,
           const Place& factors, const float* bias) {
  const Place x = b.read(node.operands[0]), y = b.write(node.result);
  ScaleOperands<float> o{};
  o.factor = weights;
  o.epilogue.bias = bias;
  node.read_activation(&o.epilogue);
  const int64_t factor_image = weights == nullptr ? e.c : 0;
  b.scale(node.line(), {e.n, e.c, e.pixels(), x.pixel, y.pixel, factor_image}, o, x, factors, y);
}

Extent infer_multiply(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  const Extent& factors = b.extent(node.operands.at(1));
  const bool of_channels = factors.n == x.n && factors.c == x.c && factors.pixels() == 1 &&
                           factors.features == x.features && !x.sequence && !factors.sequence;
  if (!(factors == x) && !of_channels) {
    node.fail(text(factors) + " are no factors of " + text(x));
  }
  return x;
}

void lower_multiply(const Node& node, Builder& b) {
  Extent e = b.extent(node.result);
  if (b.extent(node.operands[1]).pixels() > 1) e = {e.n * e.pixels(), e.c, 1, 1, true};
  scale(node, b, e, nullptr, b.read_dense(node.operands[1]), nullptr);
}

void lower_scale_shift(const Node& node, Builder& b) {
  const Extent& e = b.extent(node.result);
  const float* const factors = b.vector(node, "scale", e.c);
  if (factors == nullptr) node.fail("it lacks scale");
  scale(node, b, e, factors, {}, b.vector(node, "shift", e.c));
}

}  // namespace

const OperatorRule kActivationRule{
    "activation",      1, 1, "activation", infer_activation, lower_activation, false,
    Sequences::by_rows};
const OperatorRule kAddRule{"add",     2,         2,     "activation",
                            infer_add, lower_add, false, Sequences::by_rows};
const OperatorRule kMultiplyRule{"multiply",        2, 2, "", infer_multiply, lower_multiply, true,
                                 Sequences::by_rows};
const OperatorRule kScaleShiftRule{
    "scale_shift", 1, 1, "scale shift activation", infer_activation, lower_scale_shift, true};

}  // namespace plan
}  // namespace cnnext
