// SPDX-License-Identifier: BSD-3-Clause
// The order in which a pass walks through the steps of a recurrence, and which sequences take part.
#pragma once

#include "recurrence/recurrence.h"

namespace cnnext {
namespace {

// A step of a walk, and the one walked before it. Sequences [0, continuing) took part in that,
// [continuing, count) start here, and [count, before_count) were there for the last time.
struct Step {
  int64_t row, count;                // the first of its rows, and how many
  int64_t before_row, before_count;  // likewise of the step before; a first step has none, 0
  int64_t continuing;
};

// Step `position` of the walk; at position `steps` there is nothing but what was before.
template <class T>
CNNEXT_INLINE Step step_at(const RecurrenceShape& s, const RecurrenceOperands<T>& o, Pass pass,
                           int64_t position) {
  const bool descending = (pass == Pass::forward) == o.reverse;
  const auto first_row = [&](int64_t t) {
    return o.offsets == nullptr ? t * s.batch : o.offsets[t];
  };
  Step step{};
  if (position < s.steps) {
    const int64_t t = descending ? s.steps - 1 - position : position;
    step.row = first_row(t);
    step.count = first_row(t + 1) - step.row;
  }
  if (position > 0) {
    const int64_t t = descending ? s.steps - position : position - 1;
    step.before_row = first_row(t);
    step.before_count = first_row(t + 1) - step.before_row;
  }
  step.continuing = min(step.count, step.before_count);
  return step;
}

}  // namespace
}  // namespace cnnext
