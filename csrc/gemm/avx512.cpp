// SPDX-License-Identifier: BSD-3-Clause
// The micro-kernels of matrix products for AVX-512.
#include "gemm/micro_kernels.h"

namespace cnnext {

CNNEXT_DEFINE_STRIDED(TallTile<16>)
CNNEXT_DEFINE_STRIDED(WideTile<16>)
CNNEXT_DEFINE_PACKED(TallTile<16>)
CNNEXT_DEFINE_PACKED_INTO(WideTile<16>)

}  // namespace cnnext
