// SPDX-License-Identifier: BSD-3-Clause
// Copies to other pixels or channels.
#include <algorithm>

#include "plan/operators.h"
#include "reorder/pad.h"
#include "reorder/shuffle.h"

namespace cnnext {
namespace plan {
namespace {

template <class Op>
void add(const Node& node, Builder& b, const typename Op::Shape& shape, const Place& x,
         const Place& y) {
  b.add<Op>(node.line(), shape, {}, {x}, y,
            [x, y](const Memory& memory, typename Op::template Operands<float>* operands) {
              operands->x = memory.at(x);
              operands->y = memory.at(y);
            });
}

// ------------------------------------------------------------------------------------------ pad

PadShape pad_shape(const Node& node, const Extent& x) {
  const std::vector<int64_t> padding = node.integers("padding", 4);
  return {x.n, x.c, x.h, x.w, padding[0], padding[1], padding[2], padding[3], 0, 0};
}

Extent infer_pad(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  const PadShape s = pad_shape(node, x);
  if (x.features || std::min({s.left, s.right, s.top, s.bottom}) < 0) {
    node.fail("the padding does not fit an input of " + text(x));
  }
  return {x.n, x.c, s.h_out(), s.w_out(), false};
}

void lower_pad(const Node& node, Builder& b) {
  const Place x = b.read(node.operands[0]), y = b.write(node.result);
  PadShape s = pad_shape(node, b.extent(node.operands[0]));
  s.x_pixel = x.pixel;
  s.y_pixel = y.pixel;
  add<Pad>(node, b, s, x, y);
}

// -------------------------------------------------------------------------------------- shuffle

Extent infer_shuffle(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  const int64_t groups = node.integer("groups");
  if (groups <= 0 || x.c % groups != 0) {
    node.fail("there are no such groups of the channels of " + text(x));
  }
  return x;
}

void lower_shuffle(const Node& node, Builder& b) {
  const Extent& e = b.extent(node.result);
  const Place x = b.read(node.operands[0]), y = b.write(node.result);
  const int64_t groups = node.integer("groups");
  add<Shuffle>(node, b, {e.n, e.h, e.w, groups, e.c / groups, 1, x.pixel, y.pixel}, x, y);
}

// -------------------------------------------------------------------------------- pixel_shuffle

Extent infer_pixel_shuffle(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  const int64_t upscale = node.integer("upscale");
  constexpr int64_t kLargest = 1 << 15;  // whose square has no overflow
  if (x.features || upscale <= 0 || upscale > kLargest || x.c % (upscale * upscale) != 0) {
    node.fail("the channels of " + text(x) + " are no such pixels");
  }
  return {x.n, x.c / (upscale * upscale), x.h * upscale, x.w * upscale, false};
}

void lower_pixel_shuffle(const Node& node, Builder& b) {
  const Extent &in = b.extent(node.operands[0]), &out = b.extent(node.result);
  const Place x = b.read(node.operands[0]), y = b.write(node.result);
  const int64_t upscale = node.integer("upscale");
  add<Shuffle>(node, b, {in.n, in.h, in.w, out.c, upscale * upscale, upscale, x.pixel, y.pixel}, x,
               y);
}

}  // namespace

const OperatorRule kPadRule{"pad", 1, 1, "padding", infer_pad, lower_pad, true};
const OperatorRule kShuffleRule{"shuffle", 1, 1, "groups", infer_shuffle, lower_shuffle, true};
const OperatorRule kPixelShuffleRule{"pixel_shuffle",     1,   1, "upscale", infer_pixel_shuffle,
                                     lower_pixel_shuffle, true};

}  // namespace plan
}  // namespace cnnext
