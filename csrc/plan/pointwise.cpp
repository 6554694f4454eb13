// SPDX-License-Identifier: BSD-3-Clause
// What is done to each element by itself: the epilogue as a step of its own.
#include "epilogue/finish.h"
#include "plan/operators.h"

namespace cnnext {
namespace plan {
namespace {

void finish(const Node& node, Builder& b, const Place& x, const Place& residual) {
  const Extent& extent = b.extent(node.result);
  const Place y = b.write(node.result);
  FinishOperands<float> o{};
  node.read_activation(&o.epilogue);
  const int64_t residual_row = residual.buffer < 0 ? extent.c : residual.pixel;
  b.add<Finish>(node.line(), {extent.n * extent.pixels(), extent.c, 0, 0, residual_row}, o,
                {x, residual}, y,
                [x, residual, y](const Memory& memory, FinishOperands<float>* operands) {
                  operands->x = memory.at(x);
                  operands->epilogue.residual = memory.at(residual);
                  operands->y = memory.at(y);
                });
}

Extent infer_activation(const Node& node, const Builder& b) {
  return b.extent(node.operands.at(0));
}

void lower_activation(const Node& node, Builder& b) {
  finish(node, b, b.read_dense(node.operands[0]), {});
}

Extent infer_add(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  if (!(x == b.extent(node.operands.at(1)))) {
    node.fail(text(x) + " and " + text(b.extent(node.operands[1])) + " do not add up");
  }
  return x;
}

void lower_add(const Node& node, Builder& b) {
  const Place x = b.read_dense(node.operands[0]);
  finish(node, b, x, b.read(node.operands[1]));
}

}  // namespace

const OperatorRule kActivationRule{"activation", infer_activation, lower_activation, false};
const OperatorRule kAddRule{"add", infer_add, lower_add, false};

}  // namespace plan
}  // namespace cnnext
