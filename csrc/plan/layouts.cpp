// SPDX-License-Identifier: BSD-3-Clause
// What computes nothing: other names for values, and copies where there is no way around them.
#include "plan/operators.h"

namespace cnnext {
namespace plan {
namespace {

// --------------------------------------------------------------------------------------- concat

Extent infer_concat(const Node& node, const Builder& b) {
  Extent all = b.extent(node.operands.at(0));
  for (size_t i = 1; i < node.operands.size(); ++i) {
    const Extent& next = b.extent(node.operands[i]);
    if (next.n != all.n || next.h != all.h || next.w != all.w || next.features != all.features ||
        next.sequence != all.sequence) {
      node.fail(text(all) + " and " + text(next) + " differ in more than their channels");
    }
    all.c += next.c;
  }
  return all;
}

// Whoever could has written its result into the range that is its own.
void lower_concat(const Node& node, Builder& b) {
  Place range = b.write(node.result);
  for (const int value : node.operands) {
    const Place x = b.read(value);
    const Extent& extent = b.extent(value);
    if (x.buffer != range.buffer || x.offset != range.offset) {
      b.reorder(node.line(), extent, Layout::channels_last, x, Layout::channels_last, range);
    }
    range.offset += extent.c;
  }
}

// ---------------------------------------------------------------------------------------- slice

Extent infer_slice(const Node& node, const Builder& b) {
  Extent extent = b.extent(node.operands.at(0));
  const int64_t from = node.integer("from"), to = node.integer("to");
  if (from < 0 || to <= from || to > extent.c) {
    node.fail("there are no such channels in " + text(extent));
  }
  extent.c = to - from;
  return extent;
}

void lower_slice(const Node& node, Builder& b) {
  Place range = b.read(node.operands[0]);
  range.offset += node.integer("from");
  b.alias(node.result, range);
}

// -------------------------------------------------------------------------------------- flatten

Extent infer_flatten(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  return {x.n, x.c * x.pixels(), 1, 1, true};
}

void lower_flatten(const Node& node, Builder& b) {
  const Extent& x = b.extent(node.operands[0]);
  if (x.pixels() == 1) return b.alias(node.result, b.read(node.operands[0]));
  b.reorder(node.line(), x, Layout::channels_last, b.read(node.operands[0]), Layout::nchw,
            b.write(node.result));
}

}  // namespace

const OperatorRule kConcatRule{"concat",     1,    SIZE_MAX,          "", infer_concat,
                               lower_concat, true, Sequences::by_rows};
const OperatorRule kSliceRule{"slice",     1,           1,     "from to",
                              infer_slice, lower_slice, false, Sequences::by_rows};
const OperatorRule kFlattenRule{"flatten", 1, 1, "", infer_flatten, lower_flatten, false};

}  // namespace plan
}  // namespace cnnext
