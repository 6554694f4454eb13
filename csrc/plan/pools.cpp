// SPDX-License-Identifier: BSD-3-Clause
// The pools.
#include "plan/operators.h"
#include "pooling/adaptive_avg_pool2d.h"
#include "pooling/avg_pool2d.h"
#include "pooling/max_pool2d.h"

namespace cnnext {
namespace plan {
namespace {

// How many windows there are, as torch counts them: with ceil_mode one more may begin inside of the
// image, or of the padding before it.
int64_t windows(const SlidingWindows& axis, bool ceil_mode) {
  if (!ceil_mode) return axis.count();
  const int64_t rest = axis.size + 2 * axis.pad - axis.dilation * (axis.taps - 1) - 1;
  const int64_t count = ceil_div(rest, axis.stride) + 1;
  return (count - 1) * axis.stride >= axis.size + axis.pad ? count - 1 : count;
}

Extent pooled(const Node& node, const Extent& x, const SlidingWindows& h, const SlidingWindows& w) {
  const auto valid = [](const SlidingWindows& axis) {
    return axis.taps > 0 && axis.stride > 0 && axis.dilation > 0 && axis.pad >= 0 &&
           axis.pad <= axis.taps / 2 && axis.fit();
  };
  if (x.features || !valid(h) || !valid(w)) {
    node.fail("the windows do not fit an input of " + text(x));
  }
  const bool ceil_mode = node.integer("ceil_mode", 0) != 0;
  const Extent y{x.n, x.c, windows(h, ceil_mode), windows(w, ceil_mode), false};
  if (!h.reach_inside(y.h) || !w.reach_inside(y.w)) {
    node.fail("a window lies outside of an input of " + text(x));
  }
  return y;
}

// Adds the step of a pool, whose operands are one to read and one to write.
template <class Op>
void add_pool(const Node& node, Builder& b, const typename Op::Shape& shape) {
  const Place x = b.read_dense(node.operands[0]), y = b.write(node.result);
  b.add<Op>(node.line(), shape, {}, {x}, y,
            [x, y](const Memory& memory, typename Op::template Operands<float>* operands) {
              operands->in = memory.at(x);
              operands->out = memory.at(y);
            });
}

// ----------------------------------------------------------------------------------- max_pool2d

MaxPool2dShape max_pool2d_shape(const Node& node, const Extent& x) {
  const Pair kernel = node.pair("kernel"), stride = node.pair("stride");
  const Pair padding = node.pair("padding"), dilation = node.pair("dilation");
  return {x.n,
          x.c,
          x.h,
          x.w,
          0,
          0,
          kernel.h,
          kernel.w,
          stride.h,
          stride.w,
          padding.h,
          padding.w,
          dilation.h,
          dilation.w,
          Layout::channels_last,
          Record::nothing};
}

Extent infer_max_pool2d(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  const MaxPool2dShape s = max_pool2d_shape(node, x);
  return pooled(node, x, s.rows(), s.columns());
}

void lower_max_pool2d(const Node& node, Builder& b) {
  MaxPool2dShape s = max_pool2d_shape(node, b.extent(node.operands[0]));
  s.h_out = b.extent(node.result).h;
  s.w_out = b.extent(node.result).w;
  add_pool<MaxPool2d>(node, b, s);
}

// ----------------------------------------------------------------------------------- avg_pool2d

AvgPool2dShape avg_pool2d_shape(const Node& node, const Extent& x) {
  const Pair kernel = node.pair("kernel"), stride = node.pair("stride");
  const Pair padding = node.pair("padding");
  return {x.n,
          x.c,
          x.h,
          x.w,
          0,
          0,
          kernel.h,
          kernel.w,
          stride.h,
          stride.w,
          padding.h,
          padding.w,
          node.integer("count_include_pad") != 0,
          node.integer("divisor_override", 0),
          Layout::channels_last};
}

Extent infer_avg_pool2d(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  const AvgPool2dShape s = avg_pool2d_shape(node, x);
  return pooled(node, x, {s.h_in, s.k_h, s.stride_h, s.pad_h, 1},
                {s.w_in, s.k_w, s.stride_w, s.pad_w, 1});
}

void lower_avg_pool2d(const Node& node, Builder& b) {
  AvgPool2dShape s = avg_pool2d_shape(node, b.extent(node.operands[0]));
  s.h_out = b.extent(node.result).h;
  s.w_out = b.extent(node.result).w;
  add_pool<AvgPool2d>(node, b, s);
}

// -------------------------------------------------------------------------- adaptive_avg_pool2d

Extent infer_adaptive_avg_pool2d(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  const Pair size = node.pair("size");
  if (x.features || size.h <= 0 || size.w <= 0) {
    node.fail("the size does not fit an input of " + text(x));
  }
  return {x.n, x.c, size.h, size.w, false};
}

void lower_adaptive_avg_pool2d(const Node& node, Builder& b) {
  const Extent &x = b.extent(node.operands[0]), &y = b.extent(node.result);
  add_pool<AdaptiveAvgPool2d>(node, b, {x.n, x.c, x.h, x.w, y.h, y.w, Layout::channels_last});
}

}  // namespace

const OperatorRule kMaxPool2dRule{
    "max_pool2d",     1,    1, "kernel stride padding dilation ceil_mode", infer_max_pool2d,
    lower_max_pool2d, false};
const OperatorRule kAvgPool2dRule{
    "avg_pool2d",
    1,
    1,
    "kernel stride padding ceil_mode count_include_pad divisor_override",
    infer_avg_pool2d,
    lower_avg_pool2d,
    false};
const OperatorRule kAdaptiveAvgPool2dRule{
    "adaptive_avg_pool2d",     1,    1, "size", infer_adaptive_avg_pool2d,
    lower_adaptive_avg_pool2d, false};

}  // namespace plan
}  // namespace cnnext
