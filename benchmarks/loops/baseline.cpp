// SPDX-License-Identifier: BSD-3-Clause
// The loops for the ISA every build has (SSE on x86, NEON on Arm).
#include "loops/vector_loops.h"

namespace cnnext {
const Loops loops_baseline = loops_of_vectors<4>();
}  // namespace cnnext
