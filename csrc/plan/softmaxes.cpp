// SPDX-License-Identifier: BSD-3-Clause
// Softmax along channels, and its logarithm.
#include "plan/operators.h"
#include "softmax/softmax.h"

namespace cnnext {
namespace plan {
namespace {

Extent infer(const Node& node, const Builder& b) { return b.extent(node.operands.at(0)); }

void add(const Node& node, Builder& b, bool log) {
  const Extent& e = b.extent(node.result);
  const Place x = b.read(node.operands[0]), y = b.write(node.result);
  b.add<Softmax>(node.line(), {e.n * e.pixels(), e.c, log, x.pixel, y.pixel}, {}, {x}, y,
                 [x, y](const Memory& memory, SoftmaxOperands<float>* operands) {
                   operands->x = memory.at(x);
                   operands->y = memory.at(y);
                 });
}

void lower_softmax(const Node& node, Builder& b) { add(node, b, false); }

void lower_log_softmax(const Node& node, Builder& b) { add(node, b, true); }

}  // namespace

const OperatorRule kSoftmaxRule{"softmax", 1, 1, "", infer, lower_softmax, true};
const OperatorRule kLogSoftmaxRule{"log_softmax", 1, 1, "", infer, lower_log_softmax, true};

}  // namespace plan
}  // namespace cnnext
