// SPDX-License-Identifier: BSD-3-Clause
// A filter between torch's memory order and panels: [tap][c][column], a column an output channel.
//
// Three orders are common and go through vectors: c before the taps (torch's default), by way of a
// block of panel rows in scratch; c after the taps (channels_last), directly; and columns before
// the taps (torch's default, as the input gradient sees it), directly. Everything else is moved
// element by element, walking the filter in the order of its memory.
#pragma once

#include "common/kernel/kernel.h"
#include "common/simd/simd.h"

namespace cnnext {
namespace {

// The taps of a panel, in its order, within the filter.
struct FilterTaps {
  int64_t h, w;              // how many
  int64_t h_first, w_first;  // offsets in the filter of the first, in elements
  int64_t h_step, w_step;    // from one to the next

  CNNEXT_INLINE int64_t count() const { return h * w; }
  // 1 or -1 where the taps lie side by side, in this order or in the opposite one; else 0.
  CNNEXT_INLINE int64_t direction() const {
    const bool adjacent = (w_step == 1 || w_step == -1) && (h == 1 || h_step == w * w_step);
    return adjacent ? w_step : 0;
  }
  CNNEXT_INLINE int64_t offset(int64_t tap) const {
    return h_first + tap / w * h_step + w_first + tap % w * w_step;
  }
};

template <class Tile>
struct FilterPanel {
  static constexpr int64_t kChannelBlock = 16;  // of a 3x3 filter, 18 KB of panel rows

  FilterTaps taps;
  int64_t c, columns;      // channels summed over, output channels of this panel
  int64_t c_step, k_step;  // strides of the filter, in elements

  static int64_t scratch_floats(int64_t filter_taps) {
    return kChannelBlock * filter_taps * Tile::kColumns;
  }

  CNNEXT_INLINE float* row(float* panel, int64_t tap, int64_t channel) const {
    return panel + (tap * c + channel) * Tile::kColumns;
  }

  // Channels [first, last). `w` is the filter's element of the first output channel, c = 0 and tap
  // (0, 0).
  void pack(const float* w, float* panel, int64_t first, int64_t last, float* scratch) const {
    // Stale scratch in unused columns could hold denormals, which multiply slowly.
    if (columns < Tile::kColumns) {
      for (int64_t tap = 0; tap < taps.count(); ++tap) {
        fill_zero(row(panel, tap, first), (last - first) * Tile::kColumns);
      }
    }
    if (c_step == 1) {
      for (int64_t tap = 0; tap < taps.count(); ++tap) {
        transpose_block<Tile::kLanes>(w + taps.offset(tap) + first, k_step, row(panel, tap, first),
                                      Tile::kColumns, columns, last - first);
      }
    } else if (channels_of_taps()) {
      for (int64_t c0 = first; c0 < last; c0 += kChannelBlock) {
        const int64_t channels = min(kChannelBlock, last - c0);
        transpose_block<Tile::kLanes>(w + c0 * c_step, k_step, scratch, Tile::kColumns, columns,
                                      channels * c_step);
        for (int64_t tap = 0; tap < taps.count(); ++tap) {
          for (int64_t i = 0; i < channels; ++i) {
            copy(row(panel, tap, c0 + i),
                 scratch + (i * c_step + taps.offset(tap)) * Tile::kColumns, columns);
          }
        }
      }
    } else if (taps.direction() != 0 && taps.count() > 1 && k_step == taps.count()) {
      const int64_t tap_step = c * Tile::kColumns * taps.direction();
      const int64_t tap0 = taps.direction() > 0 ? 0 : taps.count() - 1;  // in memory
      for (int64_t i = first; i < last; ++i) {
        transpose_block<Tile::kLanes>(w + i * c_step + taps.offset(tap0), k_step,
                                      row(panel, tap0, i), tap_step, columns, taps.count());
      }
    } else {
      for (int64_t i = first; i < last; ++i) {
        for (int64_t tap = 0; tap < taps.count(); ++tap) {
          const float* src = w + i * c_step + taps.offset(tap);
          float* dst = row(panel, tap, i);
          if (k_step == 1) {
            copy(dst, src, columns);
          } else {
            for (int64_t j = 0; j < columns; ++j) dst[j] = src[j * k_step];
          }
        }
      }
    }
  }

  // The inverse; every tap of the filter must be in the panel.
  void unpack(float* panel, float* w, int64_t first, int64_t last, float* scratch) const {
    if (c_step == 1) {
      for (int64_t tap = 0; tap < taps.count(); ++tap) {
        transpose_block<Tile::kLanes>(row(panel, tap, first), Tile::kColumns,
                                      w + taps.offset(tap) + first, k_step, last - first, columns);
      }
    } else if (channels_of_taps()) {
      for (int64_t c0 = first; c0 < last; c0 += kChannelBlock) {
        const int64_t channels = min(kChannelBlock, last - c0);
        for (int64_t tap = 0; tap < taps.count(); ++tap) {
          for (int64_t i = 0; i < channels; ++i) {
            copy(scratch + (i * c_step + taps.offset(tap)) * Tile::kColumns,
                 row(panel, tap, c0 + i), columns);
          }
        }
        transpose_block<Tile::kLanes>(scratch, Tile::kColumns, w + c0 * c_step, k_step,
                                      channels * c_step, columns);
      }
    } else {
      for (int64_t i = first; i < last; ++i) {
        for (int64_t tap = 0; tap < taps.count(); ++tap) {
          float* dst = w + i * c_step + taps.offset(tap);
          const float* src = row(panel, tap, i);
          for (int64_t j = 0; j < columns; ++j) dst[j * k_step] = src[j];
        }
      }
    }
  }

 private:
  // All taps of a channel lie side by side, channel after channel.
  CNNEXT_INLINE bool channels_of_taps() const {
    return taps.direction() == 1 && taps.offset(0) == 0 && c_step == taps.count();
  }
};

}  // namespace
}  // namespace cnnext
