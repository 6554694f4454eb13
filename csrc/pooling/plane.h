// SPDX-License-Identifier: BSD-3-Clause
// The planes of a batch of images, one by one, as the reference kernels walk them.
#pragma once

#include "common/kernel/kernel.h"

namespace cnnext {
namespace {

// Where element (h, w) of plane `plane` = n*c + channel lies.
struct PlaneIndex {
  int64_t channels, height, width;
  Layout layout;
  int64_t operator()(int64_t plane, int64_t h, int64_t w) const {
    if (layout == Layout::nchw) return (plane * height + h) * width + w;
    const int64_t n = plane / channels, c = plane % channels;
    return ((n * height + h) * width + w) * channels + c;
  }
};

template <class Shape>
Plan one_task_a_plane(const Shape& s) {
  Plan plan;
  plan.tasks[0] = s.n * s.c;
  return plan;
}

}  // namespace
}  // namespace cnnext
