// SPDX-License-Identifier: BSD-3-Clause
// What each operator of a program (graph.h) means: the extent of its result, and the steps that
// compute it.
//
// Values are images (n, c, h, w), features (n, c) or sequences (t, n, c) and (n, t, c). Operators
// that torch.nn.functional has mean what they mean there, and take weights as they do there; what
// stands in [] may be missing.
//
//   conv2d               x [f] [r], weight=i [bias=i] stride=h,w padding=h,w dilation=h,w groups=g
//                        [x_scale=i|f [x_shift=i] [x_activation=relu]] [activation=] [residual=]
//                        [pool=2]
//   conv_transpose2d     x, weight=i [bias=i] stride=h,w padding=h,w output_padding=h,w
//                        dilation=h,w groups=g [activation=]
//   linear               x [r], weight=i [bias=i] [activation=] [residual=]; no images
//   max_pool2d           x, kernel=h,w stride=h,w padding=h,w dilation=h,w [ceil_mode=0|1]
//   avg_pool2d           x, kernel=h,w stride=h,w padding=h,w [ceil_mode=0|1]
//                        count_include_pad=0|1 [divisor_override=n]; 0: there is none
//   adaptive_avg_pool2d  x, size=h,w of the result
//   activation           x, activation=
//   add                  a b, [activation=]: act(a + b), of the same extents
//   multiply             x b: x * b, of the same extents, or with b of one pixel for all of x
//   scale_shift          x, scale=i [shift=i] [activation=]: act(x * scale[c] + shift[c]), what a
//                        batch norm is that has not become part of a weight
//   upsample_nearest     x [like], scale=h,w [recompute_scale_factor=0|1] or size=h,w of the
//   result,
//                        or neither: the result has the height and width of `like`
//   upsample_bilinear    the same, [align_corners=0|1]
//   pad                  x, padding=left,right,top,bottom: zeros around each image
//   shuffle              x, groups=g: torch's channel_shuffle
//   pixel_shuffle        x, upscale=r
//   softmax, log_softmax x; along channels
//   concat               any number of values, one after the other along their channels
//   slice                x, from=i to=j: the channels i to j - 1
//   flatten              x: its c * h * w features, channel by channel
//   rows                 x, [height=h, which it must have]: its pixels, (n, h * w, c)
//   transpose            a sequence (a, b, c) as (b, a, c)
//   step                 x, index=i dim=0|1: of a sequence (a, b, c) the features (b, c) or (a, c)
//                        at an index along that dimension, from its end for i < 0
//   recurrence           x, cell=lstm|gru|rnn_tanh|rnn_relu weight_ih=i weight_hh=i [bias_ih=i
//                        bias_hh=i]: a sequence (t, n, c) through a layer that starts from zeros;
//                        with the same again, each name with _reverse behind it, in both directions
//
// weight, bias, scale and shift are numbers of weights. The others:
//
//   x_scale= x_shift=              the prologue: in the place of x stands x * x_scale[c] +
//   x_activation=                  x_shift[c], or what is positive of that; the border stays zero.
//                                  Both are numbers of weights, but x_scale=f, which stands for
//                                  factors of each image: the second operand, of one pixel
//   activation=name[,parameters]   common/kernel/epilogue.h has them: clamp,low,high;
//                                  leaky_relu,slope; all others by name alone
//   residual=before|after          r, of the result's extents, is added before the activation (as
//                                  without the attribute) or after it
//   pool=2                         the result is the largest of each 2 x 2 pixels, stride 2, that
//                                  the activation gives; never together with a residual
#pragma once

#include <cstdint>
#include <string>

#include "plan/builder.h"

namespace cnnext {
namespace plan {

// What an operator makes of a sequence among its operands: an error, a result row by row, or one
// for which it must have all.
enum class Sequences { none, by_rows, whole };

struct OperatorRule {
  const char* name;
  size_t min_operands, max_operands;
  const char* attributes;  // all that it may have, with a blank between them
  Extent (*infer)(const Node& node, const Builder& builder);
  void (*lower)(const Node& node, Builder& builder);
  bool writes_ranges;  // its result may be a range of the channels of a larger buffer
  Sequences sequences = Sequences::none;
};

// Throws ProgramError if there is none.
const OperatorRule& rule_of(const Node& node);
// Throws ProgramError if the node has too few or too many operands, or attributes that its operator
// does not know.
void check(const Node& node);
// The names of all, one a line.
std::string list_operators();

// The rules, by the file that has them.
extern const OperatorRule kConv2dRule, kConvTranspose2dRule, kLinearRule;          // products.cpp
extern const OperatorRule kMaxPool2dRule, kAvgPool2dRule, kAdaptiveAvgPool2dRule;  // pools.cpp
extern const OperatorRule kUpsampleNearestRule, kUpsampleBilinearRule;             // resamples.cpp
extern const OperatorRule kPadRule, kShuffleRule, kPixelShuffleRule;  // rearrangements.cpp
extern const OperatorRule kSoftmaxRule, kLogSoftmaxRule;              // softmaxes.cpp
extern const OperatorRule kActivationRule, kAddRule, kMultiplyRule,
    kScaleShiftRule;                                                              // pointwise.cpp
extern const OperatorRule kConcatRule, kSliceRule, kFlattenRule;                  // layouts.cpp
extern const OperatorRule kRowsRule, kTransposeRule, kStepRule, kRecurrenceRule;  // sequences.cpp

}  // namespace plan
}  // namespace cnnext
