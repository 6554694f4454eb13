// SPDX-License-Identifier: BSD-3-Clause
#include "conv2d/select.h"

#include "common/cost.h"

namespace cnnext {
namespace {

double reference_cost(const Conv2dShape& s, int threads) {
  return s.macs() / (kReferenceMacsPerSecond * threads);
}

// The multiply-adds of full vectors of output channels, which is what the tiles of the forward pass
// compute; near enough for the other passes.
double vector_macs(const Conv2dShape& s, Isa isa) {
  const int64_t k = s.c_out_per_group();
  return s.macs() / static_cast<double>(k) * static_cast<double>(round_up(k, simd_lanes(isa)));
}

// Strips hold the zero border; where that is almost everything, plain loops win, which skip it.
bool strips_apply(const Conv2dShape& s) {
  constexpr double kMostBorder = 64;
  const auto area = [](int64_t h, int64_t w) {
    return static_cast<double>(h) * static_cast<double>(w);
  };
  return area(s.h_in + 2 * s.pad_h, s.w_in + 2 * s.pad_w) <=
         kMostBorder * (area(s.h_in, s.w_in) + area(s.h_out(), s.w_out()));
}

template <Isa isa>
double direct_cost(const Conv2dShape& s, int threads) {
  if (!strips_apply(s)) return kNotApplicable;
  constexpr double kStripOverhead = 1.1;  // copying the strip and packing the filter
  return kStripOverhead * vector_macs(s, isa) / (tile_macs_per_second(isa) * threads);
}

// Vectors hold output channels, or the pixels of an nchw image.
template <Isa isa>
double pointwise_cost(const Conv2dShape& s, int threads) {
  const bool applies = s.k_h == 1 && s.k_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
                       s.pad_h == 0 && s.pad_w == 0 && s.groups == 1;
  if (!applies) return kNotApplicable;
  const int64_t pixels = s.h_in * s.w_in;
  const double macs = s.channels_contiguous()
                          ? vector_macs(s, isa)
                          : s.macs() / static_cast<double>(pixels) *
                                static_cast<double>(round_up(pixels, simd_lanes(isa)));
  return macs / (tile_macs_per_second(isa) * threads);
}

// Loads bound: an operand for every multiply-add, at about a third of the tiles' rate.
template <Isa isa>
double depthwise_cost(const Conv2dShape& s, int threads) {
  const bool applies = s.groups == s.c_in && s.groups == s.c_out && strips_apply(s);
  return applies ? 3 * s.macs() / (tile_macs_per_second(isa) * threads) : kNotApplicable;
}

}  // namespace

template <class T>
const std::vector<Conv2dKernel<T>>& conv2d_registry() {
  static const std::vector<Conv2dKernel<T>> kernels = [] {
    std::vector<Conv2dKernel<T>> list;
#define CNNEXT_KERNEL CNNEXT_REGISTRY_ENTRY
#include "conv2d/kernels.inc"
#undef CNNEXT_KERNEL
    return list;
  }();
  return kernels;
}

template const std::vector<Conv2dKernel<float>>& conv2d_registry();
template const std::vector<Conv2dKernel<double>>& conv2d_registry();

template <class T>
const Conv2dKernel<T>& select_conv2d(Pass pass, const Conv2dShape& shape, int threads) {
  return select_kernel("conv2d", conv2d_registry<T>(), pass, shape, threads);
}

template const Conv2dKernel<float>& select_conv2d(Pass, const Conv2dShape&, int);
template const Conv2dKernel<double>& select_conv2d(Pass, const Conv2dShape&, int);

std::string list_conv2d_kernels() {
  return list_kernels(conv2d_registry<float>()) + list_kernels(conv2d_registry<double>());
}

}  // namespace cnnext
