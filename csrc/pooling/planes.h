// SPDX-License-Identifier: BSD-3-Clause
// Planes of an nchw tensor as the channels of a channels_last image: as many as a vector has lanes
// are transposed into scratch, and the results back from there, which costs less than rows that
// fill no vector, or that need their elements interleaved.
#pragma once

#include "common/kernel/machine.h"
#include "common/simd/simd.h"
#include "pooling/max_pool2d.h"

namespace cnnext {
namespace {

// dst[j * dst_row + i] = src[i * src_row + j] for i < Height, j < Width, both at most 16.
template <int Height, int Width>
CNNEXT_INLINE void transpose_bytes(const uint8_t* src, int64_t src_row, uint8_t* dst,
                                   int64_t dst_row) {
#if CNNEXT_X86
  __m128i rows[16] = {}, mixed[16];
  for (int i = 0; i < Height; ++i) __builtin_memcpy(&rows[i], src + i * src_row, Width);
  for (int stage = 0; stage < 4; ++stage) {  // each a perfect shuffle of all bytes
    for (int i = 0; i < 8; ++i) {
      mixed[2 * i] = _mm_unpacklo_epi8(rows[i], rows[i + 8]);
      mixed[2 * i + 1] = _mm_unpackhi_epi8(rows[i], rows[i + 8]);
    }
    for (int i = 0; i < 16; ++i) rows[i] = mixed[i];
  }
  for (int j = 0; j < Width; ++j) __builtin_memcpy(dst + j * dst_row, &rows[j], Height);
#else
  for (int i = 0; i < Height; ++i) {
    for (int j = 0; j < Width; ++j) dst[j * dst_row + i] = src[i * src_row + j];
  }
#endif
}

template <int Lanes>
class PlaneBlock {
 public:
  static int64_t count(const MaxPool2dShape& s) { return ceil_div(s.n * s.c, Lanes); }

  // Planes [block * Lanes, (block + 1) * Lanes), as far as they exist.
  PlaneBlock(const MaxPool2dShape& s, int64_t block)
      : first_(block * Lanes), planes_(min(Lanes, s.n * s.c - first_)) {}

  // lanes[i * Lanes + l] = position from + i of plane l, for i < count. A tensor's planes have
  // `plane` positions each; lanes without a plane become zero.
  void load(const float* tensor, int64_t plane, int64_t from, int64_t count, float* lanes) const {
    if (planes_ < Lanes) fill_zero(lanes, count * Lanes);
    transpose_block<Lanes>(tensor + first_ * plane + from, plane, lanes, Lanes, planes_, count);
  }
  void load(const uint8_t* tensor, int64_t plane, int64_t from, int64_t count,
            uint8_t* lanes) const {
    const uint8_t* const first = tensor + first_ * plane + from;
    if (whole(count)) {
      for (int64_t i = 0; i < count; i += kBytes) {
        const int64_t at = min(i, count - kBytes);
        transpose_bytes<Lanes, kBytes>(first + at, plane, lanes + at * Lanes, Lanes);
      }
      return;
    }
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t lane = 0; lane < Lanes; ++lane) {
        lanes[i * Lanes + lane] = lane < planes_ ? first[lane * plane + i] : 0;
      }
    }
  }

  // And back.
  void store(const float* lanes, float* tensor, int64_t plane, int64_t from, int64_t count) const {
    transpose_block<Lanes>(lanes, Lanes, tensor + first_ * plane + from, plane, count, planes_);
  }
  void store(const uint8_t* lanes, uint8_t* tensor, int64_t plane, int64_t from,
             int64_t count) const {
    uint8_t* const first = tensor + first_ * plane + from;
    if (whole(count)) {
      for (int64_t i = 0; i < count; i += kBytes) {
        const int64_t at = min(i, count - kBytes);
        transpose_bytes<kBytes, Lanes>(lanes + at * Lanes, Lanes, first + at, plane);
      }
      return;
    }
    for (int64_t lane = 0; lane < planes_; ++lane) {
      for (int64_t i = 0; i < count; ++i) first[lane * plane + i] = lanes[i * Lanes + lane];
    }
  }

 private:
  static constexpr int64_t kBytes = 16;  // of a vector

  bool whole(int64_t count) const { return planes_ == Lanes && count >= kBytes; }

  int64_t first_, planes_;
};

}  // namespace
}  // namespace cnnext
