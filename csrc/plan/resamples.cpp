// SPDX-License-Identifier: BSD-3-Clause
// Images of another height and width, with the sizes and ratios that torch computes.
#include <algorithm>

#include "plan/operators.h"
#include "resample/resample.h"

namespace cnnext {
namespace plan {
namespace {

Extent infer(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  const auto is_image = [&](int value) { return !b.extent(value).features; };
  if (!std::all_of(node.operands.begin(), node.operands.end(), is_image)) {
    node.fail("features have no height and width");
  }
  const int ways = static_cast<int>(node.operands.size() > 1) + static_cast<int>(node.has("size")) +
                   static_cast<int>(node.has("scale"));
  if (ways != 1) node.fail("it has not one of like, size and scale");
  Extent y = x;
  if (node.has("size")) {
    const Pair size = node.pair("size");
    y.h = size.h;
    y.w = size.w;
  } else if (node.has("scale")) {
    const Factors scale = node.factors("scale");
    const double h = static_cast<double>(x.h) * scale.h, w = static_cast<double>(x.w) * scale.w;
    constexpr double kLargest = 1 << 30;  // so that no product of two overflows
    if (!(h < kLargest && w < kLargest)) node.fail("scale is too large");
    y.h = h > 0 ? static_cast<int64_t>(h) : 0;
    y.w = w > 0 ? static_cast<int64_t>(w) : 0;
  } else {
    y.h = b.extent(node.operands[1]).h;
    y.w = b.extent(node.operands[1]).w;
  }
  if (y.h <= 0 || y.w <= 0) node.fail("nothing is left of " + text(x));
  return y;
}

// Pixels of x a pixel of y: by the factor that is given, unless that is only for the size of y.
float ratio(int64_t in, int64_t out, bool align_corners, double factor) {
  if (align_corners) {
    return out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1) : 0;
  }
  return factor > 0 ? static_cast<float>(1 / factor)
                    : static_cast<float>(in) / static_cast<float>(out);
}

void add(const Node& node, Builder& b, Interpolation interpolation) {
  const Extent &in = b.extent(node.operands[0]), &out = b.extent(node.result);
  const Place x = b.read(node.operands[0]), y = b.write(node.result);
  const bool align_corners = node.integer("align_corners", 0) != 0;
  const bool counts = node.has("scale") && node.integer("recompute_scale_factor", 0) == 0;
  const Factors scale = counts ? node.factors("scale") : Factors{0, 0};
  const ResampleShape shape{in.n,
                            in.c,
                            in.h,
                            in.w,
                            out.h,
                            out.w,
                            interpolation,
                            align_corners,
                            ratio(in.h, out.h, align_corners, scale.h),
                            ratio(in.w, out.w, align_corners, scale.w),
                            x.pixel,
                            y.pixel};
  b.add<Resample>(node.line(), shape, {}, {x}, y,
                  [x, y](const Memory& memory, ResampleOperands<float>* operands) {
                    operands->x = memory.at(x);
                    operands->y = memory.at(y);
                  });
}

void lower_nearest(const Node& node, Builder& b) { add(node, b, Interpolation::nearest); }

void lower_bilinear(const Node& node, Builder& b) { add(node, b, Interpolation::bilinear); }

}  // namespace

const OperatorRule kUpsampleNearestRule{
    "upsample_nearest", 1, 2, "scale size recompute_scale_factor", infer, lower_nearest, true};
const OperatorRule kUpsampleBilinearRule{
    "upsample_bilinear", 1,   2, "scale size recompute_scale_factor align_corners", infer,
    lower_bilinear,      true};

}  // namespace plan
}  // namespace cnnext
