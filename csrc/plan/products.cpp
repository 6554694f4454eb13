// SPDX-License-Identifier: BSD-3-Clause
// Convolutions and matrix products, with their epilogues.
#include "plan/products.h"

#include <algorithm>

#include "conv2d/exact_sums.h"
#include "linear/linear.h"
#include "plan/operators.h"
#include "plan/prologue.h"
#include "reorder/reorder.h"

namespace cnnext {
namespace plan {
namespace {

// The residual, which is the last operand; -1 if there is none.
int residual_of(const Node& node) {
  const size_t others = takes_factors(node) ? 2 : 1, all = node.operands.size();
  if (all < others || all > others + 1) {
    node.fail("it has " + std::to_string(all) + " operands");
  }
  return all == others ? -1 : node.operands[others];
}
Place read_residual(const Node& node, Builder& b) {
  const int residual = residual_of(node);
  return residual < 0 ? Place{} : b.read(residual);
}

// The bias, activation and residual of a node whose result has so many channels.
Epilogue<float> read_epilogue(const Node& node, const Builder& b, int64_t channels) {
  Epilogue<float> epilogue;
  epilogue.bias = b.vector(node, "bias", channels);
  node.read_activation(&epilogue);
  const int residual = residual_of(node);
  if (residual >= 0) {
    const std::string where = node.word("residual", "before");
    if (where != "before" && where != "after") node.fail("residual is neither before nor after");
    if (!(b.extent(residual) == b.extent(node.result))) {
      node.fail("the residual has another extent than the result");
    }
    epilogue.residual_after = where == "after";
  }
  return epilogue;
}

}  // namespace

// --------------------------------------------------------------------------------------- conv2d

Conv2dShape conv2d_shape(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  const Weight& w = b.weight(node, "weight");
  const Pair stride = node.pair("stride"), padding = node.pair("padding");
  const Pair dilation = node.pair("dilation");
  const Conv2dShape s{x.n,
                      x.c,
                      x.h,
                      x.w,
                      w.size(0),
                      w.size(2),
                      w.size(3),
                      stride.h,
                      stride.w,
                      padding.h,
                      padding.w,
                      dilation.h,
                      dilation.w,
                      node.integer("groups"),
                      Layout::channels_last};
  const bool valid = w.sizes.size() == 4 && stride.h > 0 && stride.w > 0 && padding.h >= 0 &&
                     padding.w >= 0 && dilation.h > 0 && dilation.w > 0 && s.groups > 0 &&
                     s.c_out % s.groups == 0 && s.c_in == w.size(1) * s.groups && s.rows().fit() &&
                     s.columns().fit();
  if (!valid) node.fail("the weight does not fit an input of " + text(x));
  return s;
}

namespace {

// Without the taps that meet nothing but the border (conv2d.h), which depends on the image: where
// the others begin, and numbers that tell apart which they are.
const float* first_tap(const Weight& w, const Conv2dShape& whole, const Conv2dShape& trimmed) {
  return w.data + (whole.k_h - trimmed.k_h) / 2 * w.strides[2] +
         (whole.k_w - trimmed.k_w) / 2 * w.strides[3];
}
std::vector<int64_t> part_of(const Conv2dShape& trimmed) { return {trimmed.k_h, trimmed.k_w}; }

// Whether 2 x 2 pixels of the result become their maximum.
bool pools(const Node& node) {
  if (!node.has("pool")) return false;
  if (node.integer("pool") != 2 || residual_of(node) >= 0) {
    node.fail("pool is 2, and never together with a residual");
  }
  return true;
}
Extent halved(const Node& node, const Extent& e) {
  if (e.h < 2 || e.w < 2) node.fail(text(e) + " is too small for a pool");
  return {e.n, e.c, e.h / 2, e.w / 2, false};
}

Extent infer_conv2d(const Node& node, const Builder& b) {
  const Conv2dShape s = conv2d_shape(node, b);
  const Extent y{s.n, s.c_out, s.h_out(), s.w_out(), false};
  return pools(node) ? halved(node, y) : y;
}

}  // namespace

Convolution convolution(const Node& node, const Builder& b) {
  const Conv2dShape whole = conv2d_shape(node, b);
  Convolution c{whole.without_padding_only_taps(), {}, {}};
  c.shape.pooled = pools(node);
  c.shape.x_in_planes = b.lies_in_planes(node.operands[0]);
  const Weight& w = b.weight(node, "weight");
  for (int d = 0; d < 4; ++d) c.operands.w_strides[d] = w.strides[d];
  c.operands.second = first_tap(w, whole, c.shape);
  c.operands.epilogue = read_epilogue(node, b, c.shape.c_out);
  c.taps = part_of(c.shape);
  return c;
}

bool reads_planes(const Node& node, const Builder& b) {
  if (node.op != kConv2dRule.name || node.has("x_scale")) return false;
  if (!forced_kernel(Conv2d::kName).empty()) return false;
  Convolution c = convolution(node, b);
  const SelectOptions options{Packing::ahead, transforms_of_filter(c.shape, c.operands)};
  const int threads = num_threads_for(c.shape, b.threads());
  const auto seconds = [&] {
    const auto& kernel = select_conv2d<float>(Pass::forward, c.shape, threads, options);
    return predicted_seconds(kernel, c.shape, threads, options);
  };
  const Extent& e = b.extent(node.operands[0]);
  const ReorderShape reordered{e.n, e.c, e.pixels(), Layout::nchw, Layout::channels_last, e.c, e.c};
  const int reordering = b.threads_for(Reorder::work(reordered));
  const double apart = seconds() + select<Reorder, float>(Pass::forward, reordered, reordering)
                                       .cost(reordered, reordering)
                                       .seconds;
  c.shape.x_in_planes = true;
  return seconds() <= apart;
}

bool takes_bands(const Node& node) {
  const auto has_any_of = [&](std::initializer_list<const char*> keys) {
    return std::any_of(keys.begin(), keys.end(), [&](const char* key) { return node.has(key); });
  };
  return node.op == kConv2dRule.name && !has_any_of({"pool", "x_scale", "x_shift", "x_activation"});
}

namespace {

void lower_conv2d(const Node& node, Builder& b) {
  auto [s, o, taps] = convolution(node, b);
  const SelectOptions options{Packing::ahead, transforms_of_filter(s, o)};
  const int threads = num_threads_for(s, b.threads());
  const auto [kernel, x, prologue, factors] = prepare(node, b, s, threads, options);
  const Place r = read_residual(node, b);
  const Place y = b.write(node.result);
  o.prologue = prologue;
  o.first_pixel = x.pixel;
  o.result_pixel = y.pixel;
  o.epilogue.residual_pixel = r.pixel;
  b.add<Conv2d>(node.line(), *kernel, s, threads, o, node.integer("weight"), taps, {x, factors, r},
                y, [x = x, factors = factors, r, y](const Memory& memory, auto* operands) {
                  operands->first = memory.at(x);
                  if (factors.buffer >= 0) operands->prologue.scale = memory.at(factors);
                  operands->epilogue.residual = memory.at(r);
                  operands->result = memory.at(y);
                });
}

// ----------------------------------------------------------------------------- conv_transpose2d

// The input gradient of a convolution from the result to the operand.
Conv2dShape conv_transpose2d_shape(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  const Weight& w = b.weight(node, "weight");
  const Pair stride = node.pair("stride"), padding = node.pair("padding");
  const Pair dilation = node.pair("dilation"), more = node.pair("output_padding");
  const int64_t groups = node.integer("groups");
  const auto size = [](int64_t in, int64_t stride, int64_t pad, int64_t taps, int64_t dilation,
                       int64_t more) {
    return (in - 1) * stride - 2 * pad + dilation * (taps - 1) + more + 1;
  };
  const int64_t h = size(x.h, stride.h, padding.h, w.size(2), dilation.h, more.h);
  const int64_t width = size(x.w, stride.w, padding.w, w.size(3), dilation.w, more.w);
  const Conv2dShape s{x.n,       w.size(1) * groups, h,          width,    x.c,
                      w.size(2), w.size(3),          stride.h,   stride.w, padding.h,
                      padding.w, dilation.h,         dilation.w, groups,   Layout::channels_last};
  const bool valid = w.sizes.size() == 4 && stride.h > 0 && stride.w > 0 && padding.h >= 0 &&
                     padding.w >= 0 && dilation.h > 0 && dilation.w > 0 && groups > 0 && h > 0 &&
                     width > 0 && w.size(0) == x.c && x.c % groups == 0 && s.rows().fit() &&
                     s.columns().fit() && s.h_out() == x.h && s.w_out() == x.w;
  if (!valid) node.fail("the weight does not fit an input of " + text(x));
  return s;
}

// In which order the input gradient's kernels take the taps depends on more than which there are.
std::vector<int64_t> taps_of_gradient(const Conv2dShape& s) {
  return {s.k_h,
          s.k_w,
          min(s.stride_h, s.h_in),
          min(s.stride_w, s.w_in),
          s.stride_h,
          s.stride_w,
          s.pad_h,
          s.pad_w,
          s.dilation_h,
          s.dilation_w};
}

Extent infer_conv_transpose2d(const Node& node, const Builder& b) {
  const Conv2dShape s = conv_transpose2d_shape(node, b);
  return {s.n, s.c_in, s.h_in, s.w_in, false};
}

void lower_conv_transpose2d(const Node& node, Builder& b) {
  const Conv2dShape whole = conv_transpose2d_shape(node, b);
  Conv2dShape s = whole.without_padding_only_taps();
  const Weight& w = b.weight(node, "weight");
  Conv2dOperands<float> o{};
  for (int d = 0; d < 4; ++d) o.w_strides[d] = w.strides[d];
  o.second = first_tap(w, whole, s);
  const SelectOptions options{Packing::ahead, Transforms::none};
  const int threads = num_threads_for(s, b.threads());
  const Conv2dKernel<float>& kernel = select_conv2d<float>(Pass::bwd_input, s, threads, options);
  const Place x = b.read_dense(node.operands[0]), y = b.write(node.result);
  b.add<Conv2d>(node.line(), kernel, s, threads, o, node.integer("weight"), taps_of_gradient(s),
                {x}, y, [x, y](const Memory& memory, Conv2dOperands<float>* operands) {
                  operands->first = memory.at(x);
                  operands->result = memory.at(y);
                });
  const Epilogue<float> epilogue = read_epilogue(node, b, s.c_in);
  if (epilogue.bias != nullptr || epilogue.activation != Activation::none) {
    b.finish(node.line(), b.extent(node.result), epilogue, y, {}, y);
  }
}

// --------------------------------------------------------------------------------------- linear

LinearShape linear_shape(const Node& node, const Builder& b) {
  const Extent& x = b.extent(node.operands.at(0));
  const Weight& w = b.weight(node, "weight");
  const bool dense = w.sizes.size() == 2 && (w.sizes[0] == 1 || w.strides[0] == w.sizes[1]) &&
                     (w.sizes[1] == 1 || w.strides[1] == 1);
  if (!(x.features || x.sequence) || !dense || w.sizes[1] != x.c) {
    node.fail("the weight does not fit an input of " + text(x));
  }
  return {x.n * x.w, w.sizes[0], x.c};
}

Extent infer_linear(const Node& node, const Builder& b) {
  Extent y = b.extent(node.operands.at(0));
  y.c = linear_shape(node, b).n;
  return y;
}

void lower_linear(const Node& node, Builder& b) {
  const LinearShape s = linear_shape(node, b);
  LinearOperands<float> o{};
  o.second = b.weight(node, "weight").data;
  o.epilogue = read_epilogue(node, b, s.n);
  const int threads = b.threads_for(s.macs());
  const auto& kernel = select<Linear, float>(Pass::forward, s, threads);
  const Place x = b.read(node.operands[0]);
  const Place r = read_residual(node, b);
  const Place y = b.write(node.result);
  o.first_pixel = x.pixel;
  o.result_pixel = y.pixel;
  o.epilogue.residual_pixel = r.pixel;
  // A weight that is read once a call is read where it lies: packed, it would take as long, and as
  // much memory again.
  constexpr int64_t kNotPacked = -1;
  b.add<Linear>(node.line(), kernel, s, threads, o, kNotPacked, {}, {x, r}, y,
                [x, r, y](const Memory& memory, LinearOperands<float>* operands) {
                  operands->first = memory.at(x);
                  operands->epilogue.residual = memory.at(r);
                  operands->result = memory.at(y);
                });
}

}  // namespace

const OperatorRule kConv2dRule{
    "conv2d",
    1,
    3,
    "weight bias stride padding dilation groups x_scale x_shift x_activation activation residual "
    "pool",
    infer_conv2d,
    lower_conv2d,
    true};
const OperatorRule kConvTranspose2dRule{
    "conv_transpose2d",
    1,
    1,
    "weight bias stride padding output_padding dilation groups activation",
    infer_conv_transpose2d,
    lower_conv_transpose2d,
    false};
const OperatorRule kLinearRule{
    "linear",          1, 2, "weight bias activation residual", infer_linear, lower_linear, true,
    Sequences::by_rows};

}  // namespace plan
}  // namespace cnnext
