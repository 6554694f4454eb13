// SPDX-License-Identifier: BSD-3-Clause
#include "conv2d/select.h"

#include <cmath>
#include <limits>
#include <locale>
#include <sstream>
#include <string_view>

#include "common/kernel/machine.h"
#include "common/kernel/run.h"

namespace cnnext {
namespace {

template <Isa isa>
double reference_cost(const Conv2dShape& s, int threads) {
  return s.macs() / (rates(isa).reference_macs * threads);
}

// The multiply-adds of full vectors of output channels, which is what the tiles of the forward pass
// compute; near enough for weight gradients.
double vector_macs(const Conv2dShape& s, Isa isa) {
  const int64_t k = s.c_out_per_group();
  return s.macs() / static_cast<double>(k) * static_cast<double>(round_up(k, simd_lanes(isa)));
}

constexpr double kMaxScratchBytes = 256e6;  // of a transformed filter, or its gradient

double filter_floats(const Conv2dShape& s) {
  return static_cast<double>(s.c_out) * s.c_in_per_group() * s.k_h * s.k_w;
}

// The time to see, by its checksum, that packed weights are still those of the weight.
double checksum_seconds(const Conv2dShape& s, Isa isa) {
  return 4 * filter_floats(s) / rates(isa).l3_bytes;
}

// For nchw images in kernels whose vectors hold channels.
double transpose_seconds(const Conv2dShape& s, Isa isa) {
  if (s.channels_contiguous()) return 0;
  const double in = static_cast<double>(s.n * s.c_in) * static_cast<double>(s.h_in * s.w_in);
  const double out =
      static_cast<double>(s.n * s.c_out) * static_cast<double>(s.h_out() * s.w_out());
  return (in + out) / rates(isa).transposed_floats;
}

// Tasks of equal size are done when the last thread is.
double uneven(int64_t tasks, int threads) {
  return static_cast<double>(round_up(tasks, threads)) / static_cast<double>(tasks);
}

// Packed rows hold the zero border; where that is almost everything, plain loops win, which skip
// it.
bool packed_rows_apply(const Conv2dShape& s) {
  constexpr double kMaxBorder = 64;
  const auto area = [](int64_t h, int64_t w) {
    return static_cast<double>(h) * static_cast<double>(w);
  };
  return area(s.h_in + 2 * s.pad_h, s.w_in + 2 * s.pad_w) <=
         kMaxBorder * (area(s.h_in, s.w_in) + area(s.h_out(), s.w_out()));
}

template <Isa isa>
Cost direct_cost(const Conv2dShape& s, int threads) {
  if (!packed_rows_apply(s)) return kNotApplicable;
  // For tiles of no more rows than a row of outputs has, which those of many accumulators hardly
  // feel.
  const double short_rows = isa == Isa::avx512 ? 0.3 : 1.3;
  const double overhead = 1.01 + short_rows / static_cast<double>(max(1, s.w_out()));
  const double packing = filter_floats(s) / rates(isa).packed_floats;
  const Rates& r = rates(isa);
  const double in = static_cast<double>(s.n * s.c_in) * static_cast<double>(s.h_in * s.w_in);
  const double copied = s.channels_contiguous()
                            ? in / (s.x_in_planes ? r.transposed_floats : r.packed_pixel_floats)
                            : transpose_seconds(s, isa);
  return {(overhead * vector_macs(s, isa) / rates(isa).tile_macs + packing + copied) / threads,
          packing / threads};
}

// Vectors hold the pixels of a row.
template <Isa isa>
Cost direct_pixels_cost(const Conv2dShape& s, int threads) {
  constexpr int64_t kMaxChannels = 8;
  constexpr int64_t kMaxStride = 2;  // of loads that are not lane by lane
  const bool applies = s.groups == 1 && s.c_out <= kMaxChannels && s.stride_w <= kMaxStride &&
                       s.dilation_h == 1 &&  // rows between filter rows are copied, too
                       s.w_out() > 0 && packed_rows_apply(s);
  if (!applies) return kNotApplicable;
  const double lanes = static_cast<double>(round_up(s.w_out(), simd_lanes(isa)));
  const double macs = s.macs() * lanes / static_cast<double>(s.w_out());
  // Lines of channels_last are transposed.
  const bool lines = s.layout == Layout::nchw, in_lines = s.x_layout() == Layout::nchw;
  const double in =
      in_lines || s.c_in == 1 ? 0 : static_cast<double>(s.n * s.c_in * s.h_in * s.w_in);
  const double out = lines ? 0 : static_cast<double>(s.n * s.c_out * s.h_result() * s.w_result());
  const double moved = (in + out) / rates(isa).transposed_floats;
  const double packing = filter_floats(s) / rates(isa).packed_floats;
  constexpr double kOverhead = 1.3;
  return {(kOverhead * macs / rates(isa).tile_macs + packing + moved) / threads, packing / threads};
}

// The filter's gradient is unpacked instead, in a phase of its own.
template <Isa isa>
Cost direct_weight_cost(const Conv2dShape& s, int threads) {
  const Cost forward = direct_cost<isa>(s, threads);
  return {forward.seconds, 0, forward.packing};
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
  return macs / (rates(isa).tile_macs * threads);
}

// Windows are packed for each task, filters for each block of rows.
double implicit_gemm_channels_last_seconds(const Conv2dShape& s, Isa isa, int threads) {
  constexpr double kRowsPerTask = 384;
  const double rows = static_cast<double>(s.n * s.h_out() * s.w_out());
  const double windows = rows * static_cast<double>(s.k_h * s.k_w * s.c_in);
  const double per_task = std::fmin(kRowsPerTask, std::ceil(rows / threads));
  return ((1 + rates(isa).packing_rows / per_task) * vector_macs(s, isa) / rates(isa).tile_macs +
          windows / rates(isa).packed_pixel_floats) /
         threads;
}

// Windows are found, for all channels, and gathered once, or by each thread if there are fewer
// panels of pixels than threads.
double implicit_gemm_nchw_seconds(const Conv2dShape& s, Isa isa, int threads) {
  const int64_t pixels = s.n * s.h_out() * s.w_out(), padded = round_up(pixels, simd_lanes(isa));
  const double windows = static_cast<double>(padded) * static_cast<double>(s.k_h * s.k_w * s.c_in);
  const double found = windows / static_cast<double>(s.c_in);
  const int64_t panels = ceil_div(pixels, 4 * simd_lanes(isa));
  const double gathers = static_cast<double>(ceil_div(threads, panels));
  return (windows * static_cast<double>(s.c_out) / rates(isa).tile_macs +
          gathers * (windows / rates(isa).gathered_floats + found / rates(isa).found_windows)) /
         threads;
}

template <Isa isa>
double implicit_gemm_cost(const Conv2dShape& s, int threads) {
  if (s.groups != 1 || s.macs() == 0) return kNotApplicable;
  if (s.layout == Layout::channels_last) {
    return s.c_in % simd_lanes(isa) == 0 ? implicit_gemm_channels_last_seconds(s, isa, threads)
                                         : kNotApplicable;
  }
  const double padded = static_cast<double>(s.n * s.c_in) *
                        static_cast<double>(s.h_in + 2 * s.pad_h) *
                        static_cast<double>(s.w_in + 2 * s.pad_w);
  const bool offsets_fit = padded <= std::numeric_limits<int32_t>::max();
  return offsets_fit ? implicit_gemm_nchw_seconds(s, isa, threads) : kNotApplicable;
}

// Loads bound: an operand for every multiply-add, at about a third of the tiles' rate.
template <Isa isa>
double depthwise_cost(const Conv2dShape& s, int threads) {
  const bool applies = s.groups == s.c_in && s.groups == s.c_out && packed_rows_apply(s);
  return applies ? 3 * s.macs() / (rates(isa).tile_macs * threads) : kNotApplicable;
}

// The transforms of 5x5 filters and the weight gradient (which the baseline lacks altogether)
// cancel more digits than the others: with every product rounded, too many. The weight gradient of
// 5x5 filters would cancel too many in any case.
bool winograd_applies(const Conv2dShape& s, int64_t tile, Isa isa) {
  constexpr int64_t kMinChannelPairs = 64;  // pairs of channels; transforms of fewer never pay
  const bool fused_multiply_add = isa != Isa::baseline;
  const bool fits = s.k_h == 3 || (s.k_h == 5 && tile == 2 && fused_multiply_add);
  return fits && s.k_w == s.k_h && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 &&
         s.dilation_w == 1 && s.groups == 1 && s.pad_h < s.k_h && s.pad_w < s.k_w &&
         s.c_in * s.c_out >= kMinChannelPairs;
}

// A convolution as Winograd's kernels see it: tiles, their points, and vectors of channels. The
// input gradient has the channels exchanged, which hardly changes the sums.
struct WinogradWork {
  const Rates& r;
  double tiles, points, c_vectors, k_vectors;
  double products, u_bytes;

  WinogradWork(const Conv2dShape& s, int64_t tile, Isa isa) : r(rates(isa)) {
    tiles = static_cast<double>(s.n * ceil_div(s.h_out(), tile) * ceil_div(s.w_out(), tile));
    points = static_cast<double>((tile + s.k_h - 1) * (tile + s.k_w - 1));
    c_vectors = static_cast<double>(ceil_div(s.c_in, simd_lanes(isa)));
    k_vectors = static_cast<double>(ceil_div(s.c_out, simd_lanes(isa)));
    const double k = k_vectors * simd_lanes(isa);
    products = points * tiles * static_cast<double>(s.c_in) * k / r.tile_macs;
    u_bytes = 4 * points * static_cast<double>(s.c_in) * k;
  }
  double filter_seconds(const Conv2dShape& s) const {
    return points * static_cast<double>(s.c_in) * k_vectors / r.point_vectors;
  }
  // With `bytes` of operands that come from beyond the core's own cache.
  double product_seconds(double bytes) const {
    return products + std::fmax(0, bytes / r.l3_bytes - r.hidden * products);
  }
  double tile_seconds(const Conv2dShape& s, Isa isa) const {
    return points * tiles * (c_vectors + k_vectors) / r.point_vectors + transpose_seconds(s, isa);
  }
  double output_part() const { return k_vectors / (c_vectors + k_vectors); }
};

template <Isa isa, int tile>
Cost winograd_fused_cost(const Conv2dShape& s, int threads) {
  if (!winograd_applies(s, tile, isa)) return kNotApplicable;
  const WinogradWork work(s, tile, isa);
  if (work.u_bytes > kMaxScratchBytes) return kNotApplicable;
  // Packing writes U for all threads to read, once or, if large, with every block of tiles.
  const double rows = isa == Isa::avx512 ? 14 : 6;
  const auto own_cache = static_cast<double>(machine().l2);
  const double reads = work.u_bytes < own_cache ? threads : work.tiles / (2 * rows);
  const double streams = std::fmax(reads, threads);
  const double product_seconds = work.product_seconds((1 + streams) * work.u_bytes);
  const double written = product_seconds - work.product_seconds(streams * work.u_bytes);
  return {2 * rates(isa).phase_seconds +
              (work.filter_seconds(s) + work.tile_seconds(s, isa) + product_seconds) / threads,
          (work.filter_seconds(s) + written) / threads};
}

template <Isa isa, int tile>
Cost winograd_shared_cost(const Conv2dShape& s, int threads) {
  if (!winograd_applies(s, tile, isa)) return kNotApplicable;
  const WinogradWork work(s, tile, isa);
  // Each round transforms the filter again; each panel reads all of V, in the order of its memory.
  constexpr double kMaxTiles = 112;
  const double rounds = std::ceil(work.tiles / kMaxTiles);
  // Few threads share out panels, or parts of them where there are fewer than threads. What others
  // share is for the plan to say, and its balance counts by itself.
  const int64_t panels = ceil_div(s.c_out, 2 * simd_lanes(isa));
  const bool few = threads <= kFewThreads;
  const int64_t tasks = few ? panels * ceil_div(threads, panels) : panels;
  const double v_bytes = 4 * work.points * work.tiles * static_cast<double>(s.c_in);
  const double task_seconds =
      rounds * work.filter_seconds(s) * static_cast<double>(tasks / panels) +
      work.product_seconds(static_cast<double>(panels) * v_bytes / 2);
  const double tile_seconds = work.tile_seconds(s, isa);
  const double second_phase = (few ? uneven(tasks, threads) : 1) * task_seconds;
  return {2 * rounds * rates(isa).phase_seconds + (tile_seconds + second_phase) / threads, 0,
          rounds * rates(isa).phase_seconds +
              (work.output_part() * tile_seconds + second_phase) / threads};
}

template <Isa isa>
Cost winograd4_weight_cost(const Conv2dShape& s, int threads) {
  if (!winograd_applies(s, 4, isa)) return kNotApplicable;
  const WinogradWork work(s, 4, isa);
  if (work.u_bytes > kMaxScratchBytes) return kNotApplicable;
  const double u_seconds = 2 * work.u_bytes / work.r.l3_bytes;
  const double start_seconds = rates(isa).phase_seconds;
  return {3 * start_seconds +
              (work.filter_seconds(s) + work.tile_seconds(s, isa) + work.products + u_seconds) /
                  threads,
          0, start_seconds + (work.products + u_seconds / 2) / threads,
          start_seconds + (work.filter_seconds(s) + u_seconds / 2) / threads};
}

template <Isa isa>
constexpr auto winograd4_fused_cost = winograd_fused_cost<isa, 4>;
template <Isa isa>
constexpr auto winograd4_shared_cost = winograd_shared_cost<isa, 4>;
template <Isa isa>
constexpr auto winograd2_fused_cost = winograd_fused_cost<isa, 2>;
template <Isa isa>
constexpr auto winograd2_shared_cost = winograd_shared_cost<isa, 2>;

// The convolution of dy that dx is; where there is none, since windows leave pixels of x out or see
// nothing else than the border, one of as many multiply-adds.
Conv2dShape of_gradient(const Conv2dShape& s) {
  Conv2dShape gradient = s;
  gradient.c_in = s.c_out;
  gradient.c_out = s.c_in;
  const int64_t pad_h = s.dilation_h * (s.k_h - 1) - s.pad_h;
  const int64_t pad_w = s.dilation_w * (s.k_w - 1) - s.pad_w;
  if (s.stride_h == 1 && s.stride_w == 1 && pad_h >= 0 && pad_w >= 0) {
    gradient.h_in = s.h_out();
    gradient.w_in = s.w_out();
    gradient.pad_h = pad_h;
    gradient.pad_w = pad_w;
  }
  return gradient;
}

template <auto cost>
Cost gradient_cost(const Conv2dShape& s, int threads) {
  return cost(of_gradient(s), threads);
}
template <Isa isa>
Cost direct_pixels_bwd_input_cost(const Conv2dShape& s, int threads) {
  const bool one_gather = s.stride_h == 1 && s.stride_w == 1;
  return one_gather ? gradient_cost<direct_pixels_cost<isa>>(s, threads) : kNotApplicable;
}
template <Isa isa>
constexpr auto direct_bwd_input_cost = gradient_cost<direct_cost<isa>>;
template <Isa isa>
constexpr auto winograd4_fused_bwd_input_cost = gradient_cost<winograd_fused_cost<isa, 4>>;
template <Isa isa>
constexpr auto winograd4_shared_bwd_input_cost = gradient_cost<winograd_shared_cost<isa, 4>>;
template <Isa isa>
constexpr auto winograd2_fused_bwd_input_cost = gradient_cost<winograd_fused_cost<isa, 2>>;
template <Isa isa>
constexpr auto winograd2_shared_bwd_input_cost = gradient_cost<winograd_shared_cost<isa, 2>>;

template <class T>
bool is_algorithm(const Conv2dKernel<T>& kernel, std::string_view algorithm) {
  constexpr std::string_view kPrefix = "conv2d_";
  return std::string_view(kernel.name).substr(kPrefix.size(), algorithm.size()) == algorithm;
}

// How much longer a kernel takes for a prologue: pixels are prepared when they are copied, which
// implicit GEMM does for every window that they are in, and Winograd's for a prologue alone.
template <class T>
double prologue_seconds(const Conv2dKernel<T>& kernel, const Conv2dShape& s, int threads) {
  const Rates& r = rates(kernel.isa);
  const double channels = static_cast<double>(s.n * s.c_in);
  const double in = channels * static_cast<double>(s.h_in * s.w_in) / threads;
  if (is_algorithm(kernel, "winograd")) {
    constexpr double kPoints = 3;  // of a transform, that take as long as a vector
    return kPoints * in / (r.point_vectors * simd_lanes(kernel.isa));
  }
  if (!is_algorithm(kernel, "implicit_gemm")) return in / r.packed_pixel_floats;
  const auto windows = static_cast<double>(s.h_out() * s.w_out() * s.k_h * s.k_w);
  return channels * windows / (r.packed_pixel_floats * threads);
}

}  // namespace

#define CNNEXT_KERNELS "conv2d/kernels.inc"
#include "common/kernel/register_kernels.inc"

CNNEXT_REGISTER(Conv2d)

template <class T>
Transforms transforms_of(const Conv2dKernel<T>& kernel, const Conv2dShape& shape) {
  constexpr std::string_view kWinograd = "conv2d_winograd";
  if (!is_algorithm(kernel, "winograd")) return Transforms::none;
  return winograd_transforms(shape.k_h, kernel.name[kWinograd.size()] - '0');
}

int num_threads_for(const Conv2dShape& shape, int threads) {
  constexpr double kMinPhases = 3;  // that a thread could start and await while it computes
  const Rates& r = rates(active_isa());
  const double macs = shape.macs();
  if (threads <= kFewThreads) return macs < r.threaded_macs ? 1 : threads;
  const double worth = macs / (r.tile_macs * kMinPhases * r.phase_seconds);
  return static_cast<int>(std::fmin(threads, std::fmax(1, worth)));
}

template <class T>
Prediction predict(const Conv2dKernel<T>& kernel, const Plan& plan, const Conv2dShape& shape,
                   int threads, const SelectOptions& options) {
  const Cost cost = kernel.cost(shape, threads);
  const bool waits = threads > kFewThreads;
  const auto phase = [&](int64_t tasks, int64_t rounds, double seconds) -> PredictedPhase {
    const double part = balance(tasks, threads);
    return {tasks, rounds, part, waits ? seconds / part : seconds};
  };
  const double prologue = options.has_prologue ? prologue_seconds(kernel, shape, threads) : 0;
  Prediction prediction{cost.seconds + prologue, {}, {}};
  double all = 0;
  if (options.packing == Packing::ahead && plan.weights.exists()) {
    prediction.seconds -= cost.packing;
  } else if (options.packing == Packing::kept && is_worth_keeping(plan.weights)) {
    all = checksum_seconds(shape, kernel.isa) / threads;
    prediction.seconds += all - cost.packing;
  } else if (plan.weights.exists() && !plan.weights.optional) {
    prediction.packing = phase(plan.weights.tasks, 1, cost.packing);
    all = prediction.packing.seconds;
  }
  for (int i = 0; i < plan.n_phases; ++i) {
    const double seconds = cost.phases[i] + (i == 0 ? prologue : 0);
    prediction.phases[i] = phase(plan.tasks[i], plan.rounds, seconds);
    all += prediction.phases[i].seconds;
  }
  if (waits) prediction.seconds = all;
  return prediction;
}

template <class T>
bool takes_prologue(const Conv2dKernel<T>& kernel, const Conv2dShape& shape) {
  if (is_algorithm(kernel, "pointwise")) return shape.channels_contiguous();
  if (is_algorithm(kernel, "implicit_gemm")) return shape.layout == Layout::channels_last;
  return true;
}

template <class T>
bool takes_row_range(const Conv2dKernel<T>& kernel, const Conv2dShape& shape) {
  return shape.n == 1 && shape.layout == Layout::channels_last && !shape.pooled &&
         (is_algorithm(kernel, "direct") || is_algorithm(kernel, "depthwise") ||
          is_algorithm(kernel, "pointwise") || is_algorithm(kernel, "reference"));
}

template <class T>
bool takes_planes(const Conv2dKernel<T>& kernel, const Conv2dShape& shape) {
  return shape.layout == Layout::channels_last &&
         (is_algorithm(kernel, "direct") || is_algorithm(kernel, "depthwise") ||
          is_algorithm(kernel, "reference"));
}

template <class T>
double predicted_seconds(const Conv2dKernel<T>& kernel, const Conv2dShape& shape, int threads,
                         const SelectOptions& options) {
  if (transforms_of(kernel, shape) > options.transforms) return kNotApplicable;
  if (options.has_prologue && !takes_prologue(kernel, shape)) return kNotApplicable;
  if (shape.y_rows.count > 0 && !takes_row_range(kernel, shape)) return kNotApplicable;
  if (shape.x_in_planes && !takes_planes(kernel, shape)) return kNotApplicable;
  const double seconds = kernel.cost(shape, threads).seconds;
  if (seconds == kNotApplicable) return seconds;
  if (threads <= kFewThreads && options.packing == Packing::by_call && !options.has_prologue) {
    return seconds;
  }
  return predict(kernel, kernel.plan(shape, threads), shape, threads, options).seconds;
}

template <class T>
std::string list_candidates(Pass pass, const Conv2dShape& shape, int threads,
                            const SelectOptions& options) {
  std::ostringstream lines;
  lines.imbue(std::locale::classic());
  const int used = num_threads_for(shape, threads);
  lines << select_conv2d<T>(pass, shape, used, options).name << ' ' << used << '\n';
  const auto write = [&](const PredictedPhase& phase) {
    lines << ' ' << phase.tasks << '*' << phase.rounds << '*' << phase.balance << '*'
          << phase.seconds;
  };
  for (const Conv2dKernel<T>& kernel : registry<Conv2d, T>()) {
    if (kernel.pass != pass || kernel.isa > active_isa()) continue;
    if (predicted_seconds(kernel, shape, used, options) == kNotApplicable) continue;
    const Plan plan = kernel.plan(shape, used);
    const Prediction prediction = predict(kernel, plan, shape, used, options);
    lines << kernel.name << ' ' << prediction.seconds << ' '
          << plan.shared_bytes + used * plan.chunk_bytes;
    write(prediction.packing);
    for (int i = 0; i < plan.n_phases; ++i) write(prediction.phases[i]);
    lines << '\n';
  }
  return lines.str();
}

template <class T>
const Conv2dKernel<T>& select_conv2d(Pass pass, const Conv2dShape& shape, int threads,
                                     const SelectOptions& options) {
  SelectOptions allowed = options;
  if (preferred_algorithm("conv2d") == "exact" && forced_kernel("conv2d").empty()) {
    allowed.transforms = Transforms::none;
  }
  return select_kernel("conv2d", registry<Conv2d, T>(), pass, [&](const Conv2dKernel<T>& kernel) {
    return predicted_seconds(kernel, shape, threads, allowed);
  });
}

#define CNNEXT_INSTANTIATE(T)                                                                   \
  template Transforms transforms_of(const Conv2dKernel<T>&, const Conv2dShape&);                \
  template bool takes_prologue(const Conv2dKernel<T>&, const Conv2dShape&);                     \
  template bool takes_row_range(const Conv2dKernel<T>&, const Conv2dShape&);                    \
  template bool takes_planes(const Conv2dKernel<T>&, const Conv2dShape&);                       \
  template Prediction predict(const Conv2dKernel<T>&, const Plan&, const Conv2dShape&, int,     \
                              const SelectOptions&);                                            \
  template double predicted_seconds(const Conv2dKernel<T>&, const Conv2dShape&, int,            \
                                    const SelectOptions&);                                      \
  template std::string list_candidates<T>(Pass, const Conv2dShape&, int, const SelectOptions&); \
  template const Conv2dKernel<T>& select_conv2d(Pass, const Conv2dShape&, int,                  \
                                                const SelectOptions&);
CNNEXT_INSTANTIATE(float)
CNNEXT_INSTANTIATE(double)
#undef CNNEXT_INSTANTIATE

}  // namespace cnnext
