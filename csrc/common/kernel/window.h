// SPDX-License-Identifier: BSD-3-Clause
// Sliding windows of equally spaced taps, along one axis of an image.
#pragma once

#include "common/kernel/kernel.h"

namespace cnnext {

// Those of `taps` positions start, start + step, ... that fall inside [0, size): [first, last),
// with 0 <= first <= last <= taps.
struct TapRange {
  int64_t first, last;
};

CNNEXT_INLINE TapRange taps_inside(int64_t start, int64_t taps, int64_t step, int64_t size) {
  const int64_t first = start < 0 ? min(taps, ceil_div(-start, step)) : 0;
  const bool all_before_end = start + (taps - 1) * step < size;  // spares a division
  const int64_t last = all_before_end ? taps : start < size ? ceil_div(size - start, step) : 0;
  return {first, max(first, last)};
}

// Window i has its taps at i*stride - pad + t*dilation, t < taps, of which [0, size) is the image.
struct SlidingWindows {
  int64_t size, taps, stride, pad, dilation;

  // Whether one fits into the padded image. No product of large sizes may overflow.
  CNNEXT_INLINE bool fit() const {
    const int64_t padded = size + 2 * pad;
    return padded > 0 && taps - 1 <= (padded - 1) / dilation;
  }

  // How many fit into it, if one does.
  CNNEXT_INLINE int64_t count() const {
    return (size + 2 * pad - dilation * (taps - 1) - 1) / stride + 1;
  }

  // Whether each of the first `count` has a tap inside the image, given 0 <= pad <= taps / 2.
  CNNEXT_INLINE bool reach_inside(int64_t count) const {
    if (count - 1 > (size - 1 + pad) / stride) return false;  // the last begins behind the image
    if (dilation <= size) return true;  // else the taps of a window may step over the whole image
    for (int64_t i = 0; i < count && i * stride < pad; ++i) {
      const TapRange inside = taps_inside(i * stride - pad, taps, dilation, size);
      if (inside.first >= inside.last) return false;
    }
    return true;
  }
};

}  // namespace cnnext
