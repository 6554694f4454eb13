// SPDX-License-Identifier: BSD-3-Clause
// What convolutions of a program mean to their kernels.
#pragma once

#include <vector>

#include "conv2d/conv2d.h"
#include "plan/builder.h"

namespace cnnext {
namespace plan {

// Throws ProgramError if the weight does not fit the input.
Conv2dShape conv2d_shape(const Node& node, const Builder& builder);

// A convolution without the taps that meet nothing but the border.
struct Convolution {
  Conv2dShape shape;
  Conv2dOperands<float> operands;  // weights and epilogue, without places in a call's memory
  std::vector<int64_t> taps;       // which of them there are: part of the packed weight's key
};
Convolution convolution(const Node& node, const Builder& builder);

// Whether a node is a convolution that rather reads its input as planes than has it reordered.
bool reads_planes(const Node& node, const Builder& builder);

// Whether a node is a convolution that can be computed some rows at a time.
bool takes_bands(const Node& node);

}  // namespace plan
}  // namespace cnnext
