// SPDX-License-Identifier: BSD-3-Clause
// Which conv2d kernel runs, by its shape and by what a caller knows beyond that.
#pragma once

#include <string>

#include "common/kernel/registry.h"
#include "conv2d/conv2d.h"

namespace cnnext {

template <class T>
using Conv2dKernel = KernelOf<Conv2d, T>;

// Who packs the weights: the call itself; or an earlier call, where that pays although it has to be
// proved that they have not changed since; or somebody ahead of all calls, who knows.
enum class Packing : int { by_call, kept, ahead };

struct SelectOptions {
  Packing packing = Packing::by_call;
  Transforms transforms = Transforms::any;  // that the values allow: exact_sums.h finds it out
  bool has_prologue = false;
};

// Whether packed weights pay from call to call. Where a kernel packs as it goes, it reads the
// weight once, and what it packs stays in its cache: to prove that the weight has not changed, and
// to read what was packed, would cost more. Large ones leave the caches between calls, and would be
// read at no more than the speed of packing them again.
inline bool is_worth_keeping(const PackFormat& format) {
  constexpr int64_t kMaxBytes = int64_t{16} << 20;
  return format.exists() && !format.optional && format.bytes <= kMaxBytes;
}

// The transforms that the kernel applies.
template <class T>
Transforms transforms_of(const Conv2dKernel<T>& kernel, const Conv2dShape& shape);

// Whether the kernel can have a prologue: whether it copies x, channel by channel.
template <class T>
bool takes_prologue(const Conv2dKernel<T>& kernel, const Conv2dShape& shape);

// Whether the kernel can compute some rows of y alone, and whether it can read planes where y is in
// channels_last (conv2d.h).
template <class T>
bool takes_row_range(const Conv2dKernel<T>& kernel, const Conv2dShape& shape);
template <class T>
bool takes_planes(const Conv2dKernel<T>& kernel, const Conv2dShape& shape);

// The threads that are worth starting, of those that there are. With more, each would compute for
// less time than it takes to start and await all.
int num_threads_for(const Conv2dShape& shape, int threads);

// A phase of a call, or the packing of its weights.
struct PredictedPhase {
  int64_t tasks, rounds;
  double balance, seconds;
};

// What a kernel would take. More than kFewThreads threads wait for the one that has most to do.
struct Prediction {
  double seconds;
  PredictedPhase packing;  // no tasks: nothing is packed ahead of the phases
  PredictedPhase phases[kMaxPhases];
};
template <class T>
Prediction predict(const Conv2dKernel<T>& kernel, const Plan& plan, const Conv2dShape& shape,
                   int threads, const SelectOptions& options);

template <class T>
double predicted_seconds(const Conv2dKernel<T>& kernel, const Conv2dShape& shape, int threads,
                         const SelectOptions& options);

// What the choice is made from: the kernel chosen, and the threads that are worth starting; then
// one line a usable kernel, "name seconds scratch_bytes" and behind them, of packing and of each
// phase, "tasks*rounds*balance*seconds".
template <class T>
std::string list_candidates(Pass pass, const Conv2dShape& shape, int threads,
                            const SelectOptions& options);

// Unlike select<Conv2d, T> it leaves out Winograd's transforms where exact sums are preferred.
template <class T>
const Conv2dKernel<T>& select_conv2d(Pass pass, const Conv2dShape& shape, int threads,
                                     const SelectOptions& options = {});

}  // namespace cnnext
