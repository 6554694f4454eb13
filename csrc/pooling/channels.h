// SPDX-License-Identifier: BSD-3-Clause
// How pools on channels_last images are divided into tasks: blocks of the channels of a row, since
// a small image may have few rows and many channels.
#pragma once

#include "common/kernel/kernel.h"

namespace cnnext {
namespace {

constexpr int64_t kChannelBlock = 256;  // a kilobyte of floats, read from each pixel in one go

CNNEXT_INLINE int64_t channel_blocks(int64_t channels) { return ceil_div(channels, kChannelBlock); }

// Task number `task`: channels [first, last) of a row (or of another unit that tasks own).
struct ChannelBlock {
  int64_t row, first, last;

  CNNEXT_INLINE ChannelBlock(int64_t task, int64_t channels)
      : row(task / channel_blocks(channels)),
        first(task % channel_blocks(channels) * kChannelBlock),
        last(min(channels, first + kChannelBlock)) {}
};

}  // namespace
}  // namespace cnnext
