// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace cnnext {

// What the build recorded about itself, as a JSON object.
const char* build_info();

}  // namespace cnnext
