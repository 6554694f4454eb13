// SPDX-License-Identifier: BSD-3-Clause
// conv2d on the CPU, for torch.
#include <atomic>

#include "common/torch/cpu.h"
#include "conv2d/exact_sums.h"
#include "conv2d/torch_adapter.h"
#include "conv2d/torch_planned_calls.h"
#include "conv2d/torch_transposed.h"

namespace cnnext {
namespace {

// Set by the first call of which more than a tenth of the tiles needed plain sums; Python reads it
// where it lies, after every call, and warns.
std::atomic<int32_t> many_plain_tiles{0};

void note_plain_tiles(const ValueFacts& facts) {
  if (10 * facts.plain_tiles > facts.tiles) many_plain_tiles = 1;
}

struct Device : CpuDevice {
  using CpuDevice::compute;
  using CpuDevice::CpuDevice;

  template <class Op, class T>
  void compute(Pass pass, const Conv2dShape& s, const Conv2dOperands<T>& o) const {
    const int threads = num_threads_for(s, torch_threads());
    if constexpr (std::is_same_v<T, float>) {
      const Conv2dChoice choice = choose_conv2d(pass, s, o, threads, TorchThreads());
      note_plain_tiles(choice.facts);
      Conv2dOperands<float> allowed = o;
      allowed.transforms = choice.options.transforms;
      run_on_torch_threads(*choice.kernel, s, allowed, threads);
    } else {
      run_on_torch_threads(select_conv2d<T>(pass, s, threads), s, o, threads);
    }
  }

  static Tensor bias_gradient(const Tensor& grad_output) {
    check_allocated(grad_output);
    const int64_t summed[] = {0, 2, 3};
    return torch::stable::sum(grad_output, torch::headeronly::IntHeaderOnlyArrayRef(summed, 3));
  }
};

// `geometry` holds stride, padding and dilation, vertical and horizontal, and groups: one list is
// read faster than seven numbers. `owner` is the number of a module; `version` counts the changes
// of weight, or is -1.
Tensor forward_planned(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                       const std::vector<int64_t>& geometry, int64_t owner, int64_t version) {
  CNNEXT_CHECK(geometry.size() == 7, "geometry must have 7 numbers, but is ",
               in_brackets(geometry));
  CNNEXT_CHECK(input.numel() > 0 && weight.numel() > 0,
               "input and weight must not be empty, but have shapes ", shape_text(input), " and ",
               shape_text(weight));
  const conv2d::OwnedWeight owned{weight, owner, version};
  const auto compute = [&](const Device& device, Pass pass, const Conv2dShape& s, const auto& o) {
    if constexpr (std::is_same_v<decltype(o), const Conv2dOperands<float>&>) {
      const auto call = conv2d::plan_call(s, o, owned, num_threads_for(s, torch_threads()));
      note_plain_tiles(call->choice.facts);
      conv2d::run_call(*call, o);
    } else {
      device.compute<Conv2d>(pass, s, o);
    }
  };
  return conv2d::forward_by<Device>(compute, input, weight, bias, geometry[0], geometry[1],
                                    geometry[2], geometry[3], geometry[4], geometry[5],
                                    geometry[6]);
}

void forget_plans(int64_t owner) { PlannedCalls::instance().forget(owner); }
void forget_all_plans() { PlannedCalls::instance().forget_all(); }
int64_t packed_bytes(int64_t owner) { return PlannedCalls::instance().bytes(owner); }

Packing packing_of(bool kept) { return kept ? Packing::kept : Packing::by_call; }

// The candidates for float32, or float64 (select.h), with so many threads.
std::string candidates(std::string direction, bool is_double, bool channels_last, int64_t n,
                       int64_t c_in, int64_t h_in, int64_t w_in, int64_t c_out, int64_t k_h,
                       int64_t k_w, int64_t stride_h, int64_t stride_w, int64_t pad_h,
                       int64_t pad_w, int64_t dilation_h, int64_t dilation_w, int64_t groups,
                       bool weights_packed, int64_t transforms, int64_t threads) {
  const Layout layout = channels_last ? Layout::channels_last : Layout::nchw;
  const Conv2dShape whole{n,        c_in,  h_in,  w_in,       c_out,      k_h,    k_w,   stride_h,
                          stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, layout};
  const Conv2dShape s = whole.without_padding_only_taps();
  const SelectOptions options{packing_of(weights_packed), static_cast<Transforms>(transforms)};
  for (Pass pass : {Pass::forward, Pass::bwd_input, Pass::bwd_weight}) {
    if (direction != pass_name(pass)) continue;
    return is_double ? list_candidates<double>(pass, s, static_cast<int>(threads), options)
                     : list_candidates<float>(pass, s, static_cast<int>(threads), options);
  }
  throw std::runtime_error("conv2d has no pass '" + direction + "'");
}

// What a call on these values would run, and why: "kernel transforms filter tiles plain_tiles", of
// exact_sums.h. `first` is the input or grad_output.
std::string value_facts(std::string direction, Tensor first, Tensor weight, int64_t h_in,
                        int64_t w_in, int64_t stride_h, int64_t stride_w, int64_t pad_h,
                        int64_t pad_w, int64_t dilation_h, int64_t dilation_w, int64_t groups,
                        bool weights_packed, int64_t offered) {
  std::string found;
  const auto look = [&](const Device&, Pass pass, const Conv2dShape& s, const auto& o) {
    if constexpr (std::is_same_v<decltype(o), const Conv2dOperands<float>&>) {
      const int threads = num_threads_for(s, static_cast<int>(offered));
      const SelectOptions options{packing_of(weights_packed), Transforms::any};
      const Conv2dChoice choice = choose_conv2d(pass, s, o, threads, TorchThreads(), options);
      const ValueFacts facts = look_at_all(pass, s, o, threads, TorchThreads());
      found = std::string(choice.kernel->name) + ' ' +
              std::to_string(static_cast<int>(choice.options.transforms)) + ' ' +
              filter_kind_name(facts.filter) + ' ' + std::to_string(facts.tiles) + ' ' +
              std::to_string(facts.plain_tiles);
    }
  };
  if (direction == pass_name(Pass::forward)) {
    conv2d::forward_by<Device>(look, first, weight, std::nullopt, stride_h, stride_w, pad_h, pad_w,
                               dilation_h, dilation_w, groups);
  } else {
    conv2d::backward_input_by<Device>(look, nullptr, first, weight, h_in, w_in, stride_h, stride_w,
                                      pad_h, pad_w, dilation_h, dilation_w, groups);
  }
  return found;
}

int64_t many_plain_tiles_address() { return reinterpret_cast<int64_t>(&many_plain_tiles); }

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  conv2d::define_operators(m);
  conv2d::define_transposed(m);
  m.def(
      "conv2d_candidates(str direction, bool is_double, bool channels_last, int n, "
      "int c_in, int h_in, int w_in, int c_out, int k_h, int k_w, int stride_h, int stride_w, "
      "int pad_h, int pad_w, int dilation_h, int dilation_w, int groups, bool weights_packed, "
      "int transforms, int threads) -> str");
  m.def(
      "conv2d_value_facts(str direction, Tensor first, Tensor weight, int h_in, int w_in, "
      "int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w, "
      "int groups, bool weights_packed, int threads) -> str");
  m.def("conv2d_many_plain_tiles_address() -> int");
  m.def(
      "conv2d_planned(Tensor input, Tensor weight, Tensor? bias, int[] geometry, int owner, "
      "int version) -> Tensor");
  m.def("conv2d_forget_plans(int owner) -> ()");
  m.def("conv2d_forget_all_plans() -> ()");
  m.def("conv2d_packed_bytes(int owner) -> int");
  define_kernel_lists<Conv2d>(m);
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) {
  conv2d::implement_operators<Device>(m);
  conv2d::implement_transposed<Device>(m);
  m.impl("conv2d_planned", TORCH_BOX(&forward_planned));
  m.impl("conv2d_value_facts", TORCH_BOX(&value_facts));
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  m.impl("conv2d_forget_plans", TORCH_BOX(&forget_plans));
  m.impl("conv2d_forget_all_plans", TORCH_BOX(&forget_all_plans));
  m.impl("conv2d_packed_bytes", TORCH_BOX(&packed_bytes));
  implement_kernel_lists<Conv2d>(m);
  m.impl("conv2d_candidates", TORCH_BOX(&candidates));
  m.impl("conv2d_many_plain_tiles_address", TORCH_BOX(&many_plain_tiles_address));
}

}  // namespace cnnext
