// SPDX-License-Identifier: BSD-3-Clause
// The loops for AVX2.
#include "loops/vector_loops.h"

namespace cnnext {
const Loops loops_avx2 = loops_of_vectors<8>();
}  // namespace cnnext
