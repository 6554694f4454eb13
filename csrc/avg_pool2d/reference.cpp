// SPDX-License-Identifier: BSD-3-Clause
// avg_pool2d as its contract says it: the oracle, and the float64 path.
#include "avg_pool2d/avg_pool2d.h"
#include "pooling/average_reference.h"

namespace cnnext {

#define CNNEXT_DEFINE(type, name, ...) \
  CNNEXT_DEFINE_KERNEL(AvgPool2dShape, AverageOperands<type>, name, __VA_ARGS__)

CNNEXT_DEFINE(float, avg_pool2d_reference_f32, AverageReference<AvgPool2dShape, float>)
CNNEXT_DEFINE(float, avg_pool2d_reference_bwd_input_f32,
              AverageReferenceBackwardInput<AvgPool2dShape, float>)
CNNEXT_DEFINE(double, avg_pool2d_reference_f64, AverageReference<AvgPool2dShape, double>)
CNNEXT_DEFINE(double, avg_pool2d_reference_bwd_input_f64,
              AverageReferenceBackwardInput<AvgPool2dShape, double>)

}  // namespace cnnext
