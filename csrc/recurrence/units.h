// SPDX-License-Identifier: BSD-3-Clause
// Where the kernels of a CPU meet the formulas of the cells: N units of one row at a time.
#pragma once

#include "common/simd/math.h"
#include "recurrence/cells.h"

namespace cnnext {
namespace {

// N units of one sequence at one step; `count` of them are there.
template <int N>
struct Units : UnitPlace<float> {
  using Value = f32<N>;
  int64_t count;

  CNNEXT_INLINE Value read(const float* p, int64_t at) const {
    return load_partial<N>(p + at, count);
  }
  CNNEXT_INLINE Value read_or_zero(const float* p, int64_t at) const {
    return p == nullptr ? Value{} : load_partial<N>(p + at, count);
  }
  CNNEXT_INLINE void write(float* p, int64_t at, Value v) const {
    store_partial<N>(p + at, v, count);
  }
  CNNEXT_INLINE static Value sigmoid(Value x) { return cnnext::sigmoid<N>(x); }
  CNNEXT_INLINE static Value tanh(Value x) { return cnnext::tanh<N>(x); }
};

}  // namespace
}  // namespace cnnext
