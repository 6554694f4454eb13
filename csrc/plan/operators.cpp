// SPDX-License-Identifier: BSD-3-Clause
#include "plan/operators.h"

namespace cnnext {
namespace plan {
namespace {

const OperatorRule* const kRules[] = {
    &kConv2dRule,           &kConvTranspose2dRule,
    &kLinearRule,           &kMaxPool2dRule,
    &kAvgPool2dRule,        &kAdaptiveAvgPool2dRule,
    &kActivationRule,       &kAddRule,
    &kMultiplyRule,         &kScaleShiftRule,
    &kConcatRule,           &kSliceRule,
    &kFlattenRule,          &kRowsRule,
    &kTransposeRule,        &kStepRule,
    &kRecurrenceRule,       &kUpsampleNearestRule,
    &kUpsampleBilinearRule, &kPadRule,
    &kShuffleRule,          &kPixelShuffleRule,
    &kSoftmaxRule,          &kLogSoftmaxRule,
};

}  // namespace

const OperatorRule& rule_of(const Node& node) {
  for (const OperatorRule* rule : kRules) {
    if (node.op == rule->name) return *rule;
  }
  node.fail("there is no operator '" + node.op + "'");
}

void check(const Node& node) {
  const OperatorRule& rule = rule_of(node);
  const size_t operands = node.operands.size();
  if (operands < rule.min_operands || operands > rule.max_operands) {
    node.fail("it has " + std::to_string(operands) + " operands");
  }
  const std::string known = ' ' + std::string(rule.attributes) + ' ';
  for (const std::string& key : node.keys()) {
    if (known.find(' ' + key + ' ') == std::string::npos) node.fail("it has no " + key);
  }
}

std::string list_operators() {
  std::string names;
  for (const OperatorRule* rule : kRules) names += std::string(rule->name) + '\n';
  return names;
}

}  // namespace plan
}  // namespace cnnext
