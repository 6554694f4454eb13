// SPDX-License-Identifier: BSD-3-Clause
// Which positions along one axis of an image a pool's windows hold, and which windows hold a
// position: the two ways to walk, for the forward and for the backward pass.
#pragma once

#include "common/kernel/divisor.h"
#include "common/kernel/kernel.h"

namespace cnnext {

// Positions [first, last) of the image; `extent` is what an average over the window divides by.
struct Window {
  int64_t first, last, extent;
};

// Windows [first, last), which may be none (first >= last).
struct WindowRange {
  int64_t first, last;

  CNNEXT_INLINE bool operator==(const WindowRange& other) const {
    return first == other.first && last == other.last;
  }
};

// Window i begins at i*stride - pad and has `kernel` positions. What lies in the padding is counted
// if the padding is; what ceil_mode adds beyond the padding never is.
class SlidingAxis {
 public:
  CNNEXT_INLINE SlidingAxis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad,
                            bool counts_padding)
      : in_(in),
        out_(out),
        kernel_(kernel),
        pad_(pad),
        counts_padding_(counts_padding),
        strides_(stride) {}

  CNNEXT_INLINE Window window(int64_t i) const {
    const int64_t begin = i * strides_.divisor() - pad_;
    const int64_t end = min(begin + kernel_, in_ + pad_);
    const int64_t first = max(begin, 0), last = min(end, in_);
    return {first, last, counts_padding_ ? end - begin : last - first};
  }

  CNNEXT_INLINE WindowRange covering_windows(int64_t at) const {
    const int64_t before = at + pad_ - (kernel_ - 1);  // where the first of them may begin
    return {before <= 0 ? 0 : strides_.quotient(before + strides_.divisor() - 1),
            min(out_, strides_.quotient(at + pad_) + 1)};
  }

 private:
  int64_t in_, out_, kernel_, pad_;
  bool counts_padding_;
  Divisor strides_;
};

// Window i of `out` is from floor(i in / out) up to ceil((i + 1) in / out), as in ATen: neighbours
// share a position where `out` does not divide `in`. Position p is in window i if and only if
// i in / out < p + 1 and (i + 1) in / out > p, hence floor(p out / in) <= i < ceil((p + 1) out /
// in).
class AdaptiveAxis {
 public:
  CNNEXT_INLINE AdaptiveAxis(int64_t in, int64_t out) : ins_(in), outs_(out) {}

  CNNEXT_INLINE Window window(int64_t i) const {
    const WindowRange range = overlap(i, ins_.divisor(), outs_);
    return {range.first, range.last, range.last - range.first};
  }

  CNNEXT_INLINE WindowRange covering_windows(int64_t at) const {
    return overlap(at, outs_.divisor(), ins_);
  }

 private:
  CNNEXT_INLINE static WindowRange overlap(int64_t i, int64_t factor, const Divisor& divisor) {
    return {divisor.quotient(i * factor),
            divisor.quotient((i + 1) * factor + divisor.divisor() - 1)};
  }

  Divisor ins_, outs_;
};

// The shape of adaptive_avg_pool2d and of adaptive_max_pool2d.
struct AdaptivePoolShape {
  int64_t n, c, h_in, w_in, h_out, w_out;
  Layout layout;

  static constexpr int64_t divisor_override = 0;

  CNNEXT_INLINE AdaptiveAxis rows() const { return {h_in, h_out}; }
  CNNEXT_INLINE AdaptiveAxis columns() const { return {w_in, w_out}; }

  // Additions, or comparisons, of a forward pass; neighbouring windows may share two positions.
  CNNEXT_INLINE double work() const {
    return static_cast<double>(n * c) * static_cast<double>(h_in + h_out) *
           static_cast<double>(w_in + w_out);
  }
};

}  // namespace cnnext
