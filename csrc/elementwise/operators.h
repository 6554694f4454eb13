// SPDX-License-Identifier: BSD-3-Clause
// The element-wise operators.
#pragma once

#include "elementwise/leaky_relu.h"
#include "elementwise/relu.h"
#include "elementwise/sigmoid.h"
#include "elementwise/tanh.h"

// Calls macro(Op, op) for each: its struct and its name.
#define CNNEXT_FOR_ELEMENTWISE(macro) \
  macro(LeakyRelu, leaky_relu) macro(Relu, relu) macro(Sigmoid, sigmoid) macro(Tanh, tanh)
