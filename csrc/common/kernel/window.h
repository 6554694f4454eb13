// SPDX-License-Identifier: BSD-3-Clause
// Windows of equally spaced taps, along one axis of an image.
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

}  // namespace cnnext
