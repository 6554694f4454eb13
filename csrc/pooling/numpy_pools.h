// SPDX-License-Identifier: BSD-3-Clause
// What the pools' NumPy bindings share: see common/numpy/bindings.h.
#pragma once

#include "common/numpy/bindings.h"
#include "pooling/axis.h"

namespace cnnext {

template <class Shape>
int64_t x_size(const Shape& s) {
  return s.n * s.c * s.h_in * s.w_in;
}

template <class Shape>
int64_t y_size(const Shape& s) {
  return s.n * s.c * s.h_out * s.w_out;
}

inline AdaptivePoolShape adaptive_shape(Fields& f) {
  return {f.positive("n"),     f.positive("c"),     f.positive("h_in"), f.positive("w_in"),
          f.positive("h_out"), f.positive("w_out"), f.layout()};
}

}  // namespace cnnext
