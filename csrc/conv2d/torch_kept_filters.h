// SPDX-License-Identifier: BSD-3-Clause
// conv2d with a filter that may lie packed from an earlier call with the same weight.
#pragma once

#include "common/torch/cpu.h"
#include "conv2d/kept_filters.h"

namespace cnnext {
namespace conv2d {

// The owner's weight and what PyTorch counts its changes by (-1: it does not).
struct OwnedWeight {
  const Tensor& weight;
  int64_t owner, version;
};

// The checksum of the elements from first to last, gaps between them included, in blocks that
// threads share.
inline uint64_t checksum_of(const float* first, int64_t floats, int threads) {
  constexpr int64_t kBlock = 64 * 1024;
  const uint32_t* const words = reinterpret_cast<const uint32_t*>(first);
  const int64_t blocks = ceil_div(floats, kBlock);
  if (blocks == 1) return checksum(words, floats);
  std::vector<uint64_t> sums(blocks);
  const int64_t chunks = min(threads, blocks);
  TorchThreads()(chunks, [&](int64_t chunk) {
    for (int64_t i = blocks * chunk / chunks; i < blocks * (chunk + 1) / chunks; ++i) {
      sums[i] = checksum(words + i * kBlock, min(kBlock, floats - i * kBlock));
    }
  });
  uint64_t sum = 0;
  for (const uint64_t next : sums) sum = combine_checksums(sum, next);
  return sum;
}

// Not t itself: whoever swaps a parameter's content wants to be its only owner.
inline std::shared_ptr<void> storage_of(const Tensor& t) {
  StableIValue stack[] = {torch::stable::detail::from(t)};
  STABLE_TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::detach", "", stack, TORCH_ABI_VERSION));
  return std::make_shared<Tensor>(torch::stable::detail::to<Tensor>(stack[0]));
}

inline FilterSource source_of(const OwnedWeight& owned, const Conv2dKernel<float>& kernel,
                              const Conv2dShape& s, const Conv2dOperands<float>& o, int threads) {
  const Tensor& weight = owned.weight;
  FilterSource source{};
  source.owner = owned.owner;
  source.kernel = &kernel;
  source.c_in = s.c_in;
  source.c_out = s.c_out;
  source.k_h = s.k_h;
  source.k_w = s.k_w;
  source.groups = s.groups;
  source.filter = o.second;
  source.weight = static_cast<const float*>(weight.const_data_ptr());
  source.floats = 1;
  for (int d = 0; d < 4; ++d) {
    source.strides[d] = weight.stride(d);
    source.floats += (weight.size(d) - 1) * weight.stride(d);
  }
  source.version = owned.version;
  source.checksum = checksum_of(source.weight, source.floats, threads);
  return source;
}

inline void run_keeping(const Conv2dKernel<float>& kernel, const Conv2dShape& s,
                        const Conv2dOperands<float>& o, const OwnedWeight& owned, int threads) {
  const Plan plan = kernel.plan(s, threads);
  if (!plan.packs_filter || plan.shared_bytes > kMaxKeptFilterBytes) {
    return run_on_torch_threads(kernel, s, o, threads);
  }
  FilterSource source = source_of(owned, kernel, s, o, threads);
  KeptFilters& filters = KeptFilters::instance();
  if (const auto kept = filters.find(source)) {
    return run_on_torch_threads(kernel, s, o, threads, {kept->packed.get(), true});
  }
  const auto made = std::make_shared<KeptFilter>();
  made->bytes = round_up(plan.shared_bytes, 64);
  made->packed.reset(static_cast<unsigned char*>(std::aligned_alloc(64, made->bytes)));
  if (made->packed == nullptr) return run_on_torch_threads(kernel, s, o, threads);
  prefer_huge_pages(made->packed.get(), made->bytes);
  run_on_torch_threads(kernel, s, o, threads, {made->packed.get(), false});
  made->source = source;
  made->storage = storage_of(owned.weight);
  filters.keep(made);
}

}  // namespace conv2d
}  // namespace cnnext
