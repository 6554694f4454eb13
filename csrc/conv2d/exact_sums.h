// SPDX-License-Identifier: BSD-3-Clause
// Sums that users rely on being exact, and the rules that keep Winograd's transforms away from
// them.
//
// A transform adds up values of a whole tile, and what it adds it takes away again but for
// rounding. Direct convolution leaves no such residues, and networks are built on that:
//
//   1. a window that sees only zeros gives exactly the bias (masks of partial convolutions, events)
//   2. sums of fixed-point values, such as integers, are exact below 2^24, and so are their signs
//   3. values of one sign under a filter of one sign give no sum of the other (variances)
//   4. where a window's values are small beside its neighbours', the error is small beside the sum
//      of |x| |w| over that window, not beside the neighbours' (HDR)
//
// F(2,3) is local: its points 0, 1, -1 and infinity are such that an output is made of products of
// its own window alone. That is 1 and 4, and its transforms of fixed-point values are exact, which
// is 2, while no sum on the way is too long for a float. The six points of F(4,3) and F(2,5) keep
// none of the four. Hence three looks at the values.
//
// At the filter, before a kernel is chosen: at one output channel after the other, leaving each as
// soon as it is ordinary, after a few loads. A channel that is all zero says nothing.
//
//   fixed_point  all values are multiples of one step, a power of two, and less than 2^12 of it:
//                six points never; F(2,3) if the input is fixed-point too and short enough for it,
//                by a bound on all sums on the way: 324 c max|x| max|w| < 2^24 steps
//   one_sign     of some output channel: no transform
//   zero_tap     of some output channel a tap is zero for all that it sums over (masked filters),
//                so that a window may be empty for that channel only: no transform
//   not_finite   an Inf or NaN was met: no transform, which would spread it everywhere
//
// At every tile's sums, before a form with six points stores them (WinogradTiles::are_spoiled).
// Where those of some window are far smaller than the tile's largest, in nearly all channels, the
// window is empty or dim; where some are not finite, an Inf or NaN has spread. The same task then
// sums those channels of the tile plainly (winograd_plain.h). That takes four times as long, hence
//
// at some of the input, before a kernel is chosen: in every 16th row of tiles, those are counted
// that hold a window which is zero, or forward below 2^-7 of the tile, or a value that is not
// finite. If they are more than 3 % the call runs by F(2,3) instead, or without transforms.
//
// So the choice is a pure function of the shape and of few facts about the values. A kernel that is
// called by name keeps to the same sums: all are plain if the filter forbids its transforms. What
// is not promised: windows that are zero only where the filter happens to be, and weight gradients.
#pragma once

#include <cstdint>
#include <functional>

#include "conv2d/select.h"

namespace cnnext {

enum class FilterKind : int { ordinary, fixed_point, one_sign, zero_tap, not_finite };

// What was found: of the `tiles` that were looked at (0 if no transform was to run on them),
// `plain_tiles` need plain sums.
struct ValueFacts {
  FilterKind filter = FilterKind::ordinary;
  int64_t tiles = 0, plain_tiles = 0;
};

struct Conv2dChoice {
  const Conv2dKernel<float>* kernel;
  SelectOptions options;  // with the transforms that the values allow
  ValueFacts facts;
  bool by_values = false;  // these values led to another kernel than their shape alone
};

// parallel(n, body) calls body(i) for every i < n, on any threads, and returns when all are done.
using ParallelCalls = std::function<void(int64_t, const std::function<void(int64_t)>&)>;

// The kernel that runs on these operands, of which the first and second are read.
Conv2dChoice choose_conv2d(Pass pass, const Conv2dShape& shape,
                           const Conv2dOperands<float>& operands, int threads,
                           const ParallelCalls& parallel, const SelectOptions& options = {});

// The same from a choice that was made by shape alone, for other values.
Conv2dChoice choose_again(const Conv2dChoice& by_shape, Pass pass, const Conv2dShape& shape,
                          const Conv2dOperands<float>& operands, int threads,
                          const ParallelCalls& parallel);

// What the filter alone allows in the forward pass, whatever the input may be. Reads the second
// operand.
Transforms transforms_of_filter(const Conv2dShape& shape, const Conv2dOperands<float>& operands);

// What there is to be found if no tile is left out.
ValueFacts look_at_all(Pass pass, const Conv2dShape& shape, const Conv2dOperands<float>& operands,
                       int threads, const ParallelCalls& parallel);

// The transforms that the values allow to a kernel that is given, by name.
Transforms keep_exact(const Conv2dKernel<float>& kernel, const Conv2dShape& shape,
                      const Conv2dOperands<float>& operands, int threads,
                      const ParallelCalls& parallel);

const char* filter_kind_name(FilterKind kind);

}  // namespace cnnext
