// SPDX-License-Identifier: BSD-3-Clause
// One step of an LSTM on CUDA, for torch: ATen's matrix products, and our gates.
#include "common/torch/cuda.h"
#include "recurrence/torch_lstm_cell.h"

namespace cnnext {
namespace {

struct Device : CudaDevice {
  static constexpr bool kMultipliesByAten = true;
  using CudaDevice::CudaDevice;
};

}  // namespace

CNNEXT_CUDA_OPERATORS(m) { lstm_cell::implement_operators<Device>(m); }

}  // namespace cnnext
