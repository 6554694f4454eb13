// SPDX-License-Identifier: BSD-3-Clause
// The bodies of all kernels of pools.
#pragma once

#include "pooling/adaptive_avg_pool2d.h"
#include "pooling/adaptive_max_pool2d_backward.h"
#include "pooling/adaptive_max_pool2d_forward.h"
#include "pooling/average_backward.h"
#include "pooling/average_forward.h"
#include "pooling/avg_pool2d.h"
#include "pooling/max_pool2d_backward.h"
#include "pooling/max_pool2d_forward.h"
#include "pooling/max_unpool2d_planes.h"
#include "pooling/roi_pool_backward.h"
#include "pooling/roi_pool_forward.h"
