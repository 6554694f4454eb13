// SPDX-License-Identifier: BSD-3-Clause
// The micro-kernels of matrix products for AVX2 and FMA.
#include "gemm/micro_kernels.h"

namespace cnnext {

CNNEXT_DEFINE_STRIDED(TallTile<8>)
CNNEXT_DEFINE_PACKED(TallTile<8>)
CNNEXT_DEFINE_PACKED_INTO(WideTile<8>)

}  // namespace cnnext
