// SPDX-License-Identifier: BSD-3-Clause
// The bodies of all kernels of conv2d.
#pragma once

#include "conv2d/depthwise.h"
#include "conv2d/direct.h"
#include "conv2d/direct_pixels.h"
#include "conv2d/direct_weight.h"
#include "conv2d/implicit_gemm.h"
#include "conv2d/pointwise.h"
#include "conv2d/value_looks.h"
#include "conv2d/winograd.h"
#include "conv2d/winograd_weight.h"
