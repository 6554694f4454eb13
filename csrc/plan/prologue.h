// SPDX-License-Identifier: BSD-3-Clause
// What becomes of a convolution's prologue in a plan: its kernel's, if that takes one and is no
// slower for it than a step that prepares x for all convolutions with the same prologue.
#pragma once

#include "conv2d/select.h"
#include "plan/builder.h"

namespace cnnext {
namespace plan {

// Whether the second operand of a node has factors of the first.
bool takes_factors(const Node& node);

// A convolution's kernel, and what it takes.
struct PreparedInput {
  const Conv2dKernel<float>* kernel;
  Place x;
  Prologue<float> prologue;
  Place factors;  // those of the prologue, if they are a value
};

// Chooses the kernel, and adds the step if that is chosen.
PreparedInput prepare(const Node& node, Builder& b, const Conv2dShape& s, int threads,
                      const SelectOptions& options);

}  // namespace plan
}  // namespace cnnext
