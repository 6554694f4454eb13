// SPDX-License-Identifier: BSD-3-Clause
// What each operator of a program means: the extent of its result, and the steps that compute it.
#pragma once

#include <string>

#include "plan/builder.h"

namespace cnnext {
namespace plan {

struct OperatorRule {
  const char* name;
  const char* attributes;  // that it may have, with a blank between them
  Extent (*infer)(const Node& node, const Builder& builder);
  void (*lower)(const Node& node, Builder& builder);
  bool writes_ranges;  // its result may be a range of the channels of a larger buffer
};

// Throws if there is none.
const OperatorRule& rule_of(const Node& node);
// Throws if the node has attributes that its operator has not.
void check_attributes(const Node& node);
// The names of all, one a line.
std::string list_operators();

// The rules, by the file that has them.
extern const OperatorRule kConv2dRule, kConvTranspose2dRule, kLinearRule;          // products.cpp
extern const OperatorRule kMaxPool2dRule, kAvgPool2dRule, kAdaptiveAvgPool2dRule;  // pools.cpp
extern const OperatorRule kActivationRule, kAddRule, kMultiplyRule,
    kScaleShiftRule;                                              // pointwise.cpp
extern const OperatorRule kConcatRule, kSliceRule, kFlattenRule;  // layouts.cpp

}  // namespace plan
}  // namespace cnnext
