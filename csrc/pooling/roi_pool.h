// SPDX-License-Identifier: BSD-3-Clause
// roi_pool: the contract between its kernels and its adapters.
//
//   y[k,c,i,j] = max of x[b,c,h,w] over the rows h of bin i and the columns w of bin j of box k
//
// boxes[k] = (b, x1, y1, x2, y2): an image of the batch, and corners that spatial_scale takes to
// positions of x. BoxAxis says what the bins are; in T, as torchvision computes them, whose results
// are ours in every bit: NaN is never the maximum, the first in row-major order wins a tie, a bin
// outside of the image is 0, and one without a number above the least finite one is that number.
//
// Where the maximum was is recorded as its position h*w_in + w in the plane, or -1 for none. y, dy
// and these are nchw whatever the layout of x and dx. The gradient adds dy to that position of dx
// and leaves zero elsewhere.
//
// Boxes are finite, and b counts from 0 to below n; h_in and w_in are not zero, and h_in * w_in is
// below 2^31 (the adapter sees to it all).
#pragma once

#include "common/kernel/kernel.h"
#include "pooling/axis.h"

namespace cnnext {

struct RoiPoolShape {
  int64_t n, c, h_in, w_in, n_boxes, h_out, w_out;
  double spatial_scale;
  Layout layout;  // of x and dx

  CNNEXT_INLINE int64_t plane() const { return h_in * w_in; }
  CNNEXT_INLINE int64_t bins() const { return h_out * w_out; }

  // What is read and written, if boxes see every position once.
  CNNEXT_INLINE double work() const {
    return static_cast<double>(c) * static_cast<double>(n * plane() + n_boxes * bins());
  }
};

//              in    out   argmax
//   forward    x     y     written, or null
//   bwd_input  dy    dx    read
template <class T>
struct RoiPoolOperands {
  const T* in;
  const T* boxes;
  T* out;
  int32_t* argmax;
};

struct RoiPool {
  static constexpr const char* kName = "roi_pool";
  using Shape = RoiPoolShape;
  template <class T>
  using Operands = RoiPoolOperands<T>;
  static double work(const Shape& s) { return s.work(); }
};

constexpr int64_t kBoxNumbers = 5;

namespace {

CNNEXT_INLINE float floor_of(float x) { return __builtin_floorf(x); }
CNNEXT_INLINE double floor_of(double x) { return __builtin_floor(x); }
CNNEXT_INLINE float ceil_of(float x) { return __builtin_ceilf(x); }
CNNEXT_INLINE double ceil_of(double x) { return __builtin_ceil(x); }

// The bins of a box along an axis of `size` positions. Corners are rounded to whole positions,
// halves away from zero, and both belong to the box, which is one position long at least.
// Neighbouring bins share the position that their border crosses.
template <class T>
class BoxAxis {
 public:
  CNNEXT_INLINE BoxAxis(T first, T last, T scale, int64_t bins, int64_t size)
      : first_(nearest(first * scale)), size_(static_cast<T>(size)) {
    const T extent = nearest(last * scale) - first_ + 1;
    step_ = (extent > 1 ? extent : 1) / static_cast<T>(bins);
  }

  // The positions of bin i, which may be none.
  CNNEXT_INLINE WindowRange bin(int64_t i) const {
    return {inside(floor_of(static_cast<T>(i) * step_) + first_),
            inside(ceil_of(static_cast<T>(i + 1) * step_) + first_)};
  }

 private:
  CNNEXT_INLINE static T nearest(T x) {
    const T size = x < 0 ? -x : x, whole = floor_of(size);
    const T rounded = size - whole >= static_cast<T>(0.5) ? whole + 1 : whole;
    return x < 0 ? -rounded : rounded;
  }

  // Between 0 and the size, for all that a float can be.
  CNNEXT_INLINE int64_t inside(T at) const {
    return static_cast<int64_t>(at > 0 ? (at < size_ ? at : size_) : 0);
  }

  T first_, size_, step_;
};

// A box of an image and its bins.
template <class T>
struct Box {
  int64_t image;
  BoxAxis<T> rows, columns;

  CNNEXT_INLINE Box(const RoiPoolShape& s, const T* box, T scale)
      : image(static_cast<int64_t>(box[0])),
        rows(box[2], box[4], scale, s.h_out, s.h_in),
        columns(box[1], box[3], scale, s.w_out, s.w_in) {}
};

}  // namespace
}  // namespace cnnext
