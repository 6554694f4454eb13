// SPDX-License-Identifier: BSD-3-Clause
// What a kernel does to its input while it copies it: the prologue. In the place of x[n][c] stands
//
//   act(x[n][c] * scale[n * scale_image + c] + shift[c])
//
// for every pixel inside of the image, where act is ReLU or nothing; the border stays zero. It is
// what a batch norm in front of a convolution is in evaluation, and with scales of each image the
// gate of a squeeze-and-excitation.
#pragma once

#include <cstdint>

#include "common/kernel/isa.h"

namespace cnnext {

template <class T>
struct Prologue {
  const T* scale = nullptr;  // null: there is no prologue
  const T* shift = nullptr;  // null: 0
  int64_t scale_image = 0;   // from the scales of an image to those of the next; 0: all share them
  bool relu = false;

  CNNEXT_INLINE bool exists() const { return scale != nullptr; }
  // That of the channels from `channel` on.
  CNNEXT_INLINE Prologue at(int64_t image, int64_t channel) const {
    Prologue p = *this;
    if (scale != nullptr) p.scale += image * scale_image + channel;
    if (shift != nullptr) p.shift += channel;
    return p;
  }
};

}  // namespace cnnext
