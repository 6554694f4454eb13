// SPDX-License-Identifier: BSD-3-Clause
// adaptive_avg_pool2d as its contract says it: the oracle, and the float64 path.
#include "adaptive_avg_pool2d/adaptive_avg_pool2d.h"
#include "pooling/average_reference.h"

namespace cnnext {

#define CNNEXT_DEFINE(type, name, ...) \
  CNNEXT_DEFINE_KERNEL(AdaptivePoolShape, AverageOperands<type>, name, __VA_ARGS__)

CNNEXT_DEFINE(float, adaptive_avg_pool2d_reference_f32, AverageReference<AdaptivePoolShape, float>)
CNNEXT_DEFINE(float, adaptive_avg_pool2d_reference_bwd_input_f32,
              AverageReferenceBackwardInput<AdaptivePoolShape, float>)
CNNEXT_DEFINE(double, adaptive_avg_pool2d_reference_f64,
              AverageReference<AdaptivePoolShape, double>)
CNNEXT_DEFINE(double, adaptive_avg_pool2d_reference_bwd_input_f64,
              AverageReferenceBackwardInput<AdaptivePoolShape, double>)

}  // namespace cnnext
