// SPDX-License-Identifier: BSD-3-Clause
// The loops for AVX-512.
#include "loops/vector_loops.h"

namespace cnnext {
const Loops loops_avx512 = loops_of_vectors<16>();
}  // namespace cnnext
