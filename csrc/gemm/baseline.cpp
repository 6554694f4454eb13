// SPDX-License-Identifier: BSD-3-Clause
// The micro-kernels of matrix products for any processor.
#include "gemm/micro_kernels.h"

namespace cnnext {

CNNEXT_DEFINE_STRIDED(TallTile<4>)
CNNEXT_DEFINE_PACKED(TallTile<4>)
CNNEXT_DEFINE_PACKED_INTO(WideTile<4>)

}  // namespace cnnext
