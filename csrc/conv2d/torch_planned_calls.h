// SPDX-License-Identifier: BSD-3-Clause
// Calls of a module without gradients, by plans that are kept for it.
#pragma once

#include <optional>

#include "common/torch/cpu.h"
#include "conv2d/planned_calls.h"
#include "conv2d/value_looks.h"

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
  if (blocks == 1) return value_looks().checksum(words, floats);
  std::vector<uint64_t> sums(blocks);
  const int64_t chunks = min(threads, blocks);
  TorchThreads()(chunks, [&](int64_t chunk) {
    for (int64_t i = blocks * chunk / chunks; i < blocks * (chunk + 1) / chunks; ++i) {
      sums[i] = value_looks().checksum(words + i * kBlock, min(kBlock, floats - i * kBlock));
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

inline WeightSource source_of(const OwnedWeight& owned, const Conv2dShape& s,
                              const Conv2dOperands<float>& o, int threads) {
  const Tensor& weight = owned.weight;
  WeightSource source{};
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

// The packed weights of a call's owner, from an earlier call or made now; null if there is no
// memory for them.
inline std::shared_ptr<const PackedWeights> packed_weights(const PlannedCall& call,
                                                           const Conv2dOperands<float>& o,
                                                           const WeightSource& source,
                                                           const OwnedWeight& owned) {
  if (const auto known =
          PlannedCalls::instance().find_packed(owned.owner, source, call.plan.weights)) {
    return known;
  }
  const std::shared_ptr<PackedWeights> made = PackedWeights::allocate(call.plan.weights);
  if (made == nullptr) return nullptr;
  Scratch scratch;
  const int threads = call.key.threads;
  pack_weights(*call.choice.kernel, call.key.shape, call.plan, o, made->bytes.get(), threads,
               scratch.reserve(packing_scratch_bytes(call.plan, threads)), TorchThreads());
  made->source = source;
  made->storage = storage_of(owned.weight);
  return made;
}

// The plan for these operands, kept from an earlier call or made for this and those to come.
inline std::shared_ptr<const PlannedCall> plan_call(const Conv2dShape& s,
                                                    const Conv2dOperands<float>& o,
                                                    const OwnedWeight& owned, int threads) {
  PlannedCalls& calls = PlannedCalls::instance();
  const CallKey key{owned.owner, s, threads, active_isa(), settings_number()};
  const auto known = calls.find(key);
  const SelectOptions may_be_packed{Packing::kept, Transforms::any};
  const Conv2dChoice choice =
      known == nullptr ? choose_conv2d(Pass::forward, s, o, threads, TorchThreads(), may_be_packed)
                       : choose_again(known->choice, Pass::forward, s, o, threads, TorchThreads());
  std::optional<WeightSource> source;  // found out once, and only where it is asked for
  const auto weight_source = [&]() -> const WeightSource& {
    if (!source.has_value()) source = source_of(owned, s, o, threads);
    return *source;
  };
  if (known != nullptr && !choice.by_values &&
      (known->packed == nullptr || known->packed->source == weight_source())) {
    return known;
  }
  const auto made = std::make_shared<PlannedCall>();
  made->key = key;
  made->key.by_values = choice.by_values;
  made->choice = choice;
  made->plan = choice.kernel->plan(s, threads);
  if (is_worth_keeping(made->plan.weights)) {
    made->packed = packed_weights(*made, o, weight_source(), owned);
  }
  calls.keep(made);
  return made;
}

inline void run_call(const PlannedCall& call, Conv2dOperands<float> o) {
  o.transforms = call.choice.options.transforms;
  if (call.packed == nullptr) {
    return run_on_torch_threads(*call.choice.kernel, call.key.shape, call.plan, o,
                                call.key.threads);
  }
  Scratch scratch;
  run_planned(*call.choice.kernel, call.key.shape, call.plan, o, call.packed->bytes.get(),
              call.key.threads, scratch.reserve(running_scratch_bytes(call.plan, call.key.threads)),
              TorchThreads());
}

}  // namespace conv2d
}  // namespace cnnext
