// SPDX-License-Identifier: BSD-3-Clause
#include "common/torch/build_info.h"

#ifndef CNNEXT_BUILD_INFO
#define CNNEXT_BUILD_INFO "{}"
#endif

namespace cnnext {

const char* build_info() { return CNNEXT_BUILD_INFO; }

}  // namespace cnnext
