// SPDX-License-Identifier: BSD-3-Clause
// conv2d on the CPU, for torch.
#include "common/torch_cpu.h"

#include "conv2d/select.h"
#include "conv2d/torch_adapter.h"

namespace cnnext {
namespace {

struct Device : CpuDevice {
  using CpuDevice::CpuDevice;

  template <class T>
  void compute(Pass pass, const Conv2dShape& s, const Conv2dOperands<T>& o, const Tensor&) const {
    const int threads = useful_threads(s.macs());
    if (!run_on_torch_threads(select_conv2d<T>(pass, s, threads), s, o, threads)) {
      run_on_torch_threads(select_exact_conv2d<T>(pass, s, threads), s, o, threads);
    }
  }

  static Tensor bias_gradient(const Tensor& grad_output) {
    check_allocated(grad_output);
    const int64_t summed[] = {0, 2, 3};
    return torch::stable::sum(grad_output, torch::headeronly::IntHeaderOnlyArrayRef(summed, 3));
  }
};

// The candidates for float32, or float64, in the order of the registry; the chosen one comes first.
std::string candidates(std::string direction, bool is_double, bool channels_last, int64_t n,
                       int64_t c_in, int64_t h_in, int64_t w_in, int64_t c_out, int64_t k_h,
                       int64_t k_w, int64_t stride_h, int64_t stride_w, int64_t pad_h,
                       int64_t pad_w, int64_t dilation_h, int64_t dilation_w, int64_t groups) {
  const Layout layout = channels_last ? Layout::channels_last : Layout::nchw;
  const Conv2dShape whole{n,        c_in,  h_in,  w_in,       c_out,      k_h,    k_w,   stride_h,
                          stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, layout};
  const Conv2dShape s = whole.without_idle_taps();
  const int threads = useful_threads(s.macs());
  for (Pass pass : {Pass::forward, Pass::bwd_input, Pass::bwd_weight}) {
    if (direction != pass_name(pass)) continue;
    return is_double ? std::string(select_conv2d<double>(pass, s, threads).name) + '\n' +
                           list_candidates(conv2d_registry<double>(), pass, s, threads)
                     : std::string(select_conv2d<float>(pass, s, threads).name) + '\n' +
                           list_candidates(conv2d_registry<float>(), pass, s, threads);
  }
  throw std::runtime_error("conv2d has no pass '" + direction + "'");
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  conv2d::define_operators(m);
  m.def(
      "conv2d_candidates(str direction, bool is_double, bool channels_last, int n, "
      "int c_in, int h_in, int w_in, int c_out, int k_h, int k_w, int stride_h, int stride_w, "
      "int pad_h, int pad_w, int dilation_h, int dilation_w, int groups) -> str");
  m.def("conv2d_kernels() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) { conv2d::implement_operators<Device>(m); }

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  m.impl("conv2d_kernels", TORCH_BOX(&list_conv2d_kernels));
  m.impl("conv2d_candidates", TORCH_BOX(&candidates));
}

}  // namespace cnnext
