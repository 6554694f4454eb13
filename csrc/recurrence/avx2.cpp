// SPDX-License-Identifier: BSD-3-Clause
// recurrence for AVX2.
#include "recurrence/backward.h"
#include "recurrence/forward.h"

namespace cnnext {
namespace {
using Tile = WideTile<8>;
}

#define CNNEXT_DEFINE(name, ...)                                                             \
  CNNEXT_DEFINE_KERNEL(RecurrenceShape, RecurrenceOperands<float>, recurrence_##name##_avx2, \
                       __VA_ARGS__)

CNNEXT_DEFINE(sequences_f32, ForwardBySequences<Tile>)
CNNEXT_DEFINE(units_f32, ForwardByUnits<Tile>)
CNNEXT_DEFINE(ahead_f32, ForwardAhead<Tile>)
CNNEXT_DEFINE(dots_f32, ForwardByDots<Tile>)
CNNEXT_DEFINE(sequences_bwd_f32, BackwardBySequences<Tile>)
CNNEXT_DEFINE(units_bwd_f32, BackwardByUnits<Tile>)

}  // namespace cnnext
