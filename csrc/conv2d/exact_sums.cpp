// SPDX-License-Identifier: BSD-3-Clause
#include "conv2d/exact_sums.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "conv2d/value_looks.h"
#include "conv2d/winograd_shape.h"

namespace cnnext {
namespace {

typedef int32_t Bits __attribute__((may_alias));

float as_float(Magnitude bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// The part of `count` things that chunk i of `chunks` has.
struct Part {
  int64_t first, last;

  Part(int64_t count, int64_t chunks, int64_t i)
      : first(count * i / chunks), last(count * (i + 1) / chunks) {}
};

// Waking another thread takes as long as reading kFewFloats.
int64_t threads_for(int64_t floats, int threads) {
  constexpr int64_t kFewFloats = 32 * 1024;
  return std::min<int64_t>(threads, ceil_div(floats, kFewFloats));
}

// ----------------------------------------------------------------------------------- fixed point

// The largest value in steps of the grid; infinite if there is no grid, 0 if all values are zero.
double steps(const FixedPoint& values) {
  constexpr int kBias = 127, kDigits = 23;
  if (values.largest >= kInfiniteMagnitude) return std::numeric_limits<double>::infinity();
  if (values.largest == 0) return 0;
  return std::ldexp(as_float(values.largest), kBias + kDigits - values.step);
}

// Lines of `length` values, `distance` apart.
struct Lines {
  const float* values;
  int64_t lines, length, distance;
};

// The common grid of many values; stops looking once it has more than `max_steps` steps.
FixedPoint fixed_point(const Lines& in, double max_steps, int threads,
                       const ParallelCalls& parallel) {
  constexpr int64_t kBlock = 4096;
  const int64_t count = in.lines * in.length, chunks = threads_for(count, threads);
  std::vector<FixedPoint> found(chunks);
  parallel(chunks, [&](int64_t i) {
    const Part part(count, chunks, i);
    for (int64_t at = part.first, run; at < part.last && steps(found[i]) <= max_steps; at += run) {
      const int64_t line = at / in.length, first = at % in.length;
      run = std::min({kBlock, part.last - at, in.length - first});
      value_looks().fixed_point(in.values + line * in.distance + first, run, &found[i]);
    }
  });
  FixedPoint all;
  for (const FixedPoint& each : found) {
    all.step = std::min(all.step, each.step);
    all.largest = std::max(all.largest, each.largest);
  }
  return all;
}

// ------------------------------------------------------------------------------------ the filter

constexpr double kFixedPointSteps = 4095;

// What a few values of each output channel say.
struct FilterLook {
  FilterKind kind;
  bool fixed_point;  // so far
};

FilterLook look_at_filter(const WinogradShape& g, int64_t side, const float* w) {
  constexpr int64_t kAhead = 16;  // output channels, each in cache lines of its own
  constexpr int64_t kEnough = 256;
  const int64_t taps = side * side;
  const uint32_t all_taps = (uint32_t{1} << taps) - 1;
  int64_t offsets[25];
  for (int64_t tap = 0; tap < taps; ++tap) {
    offsets[tap] = g.w_first + tap / side * g.w_h + tap % side * g.w_w;
  }
  FilterKind kind = FilterKind::ordinary;
  FixedPoint values;
  for (int64_t k = 0, seen = 0; k < g.k; ++k) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      __builtin_prefetch(w + std::min(k + kAhead, g.k - 1) * g.w_k + offsets[tap]);
    }
    bool positive = false, negative = false;
    uint32_t used_taps = 0;
    Magnitude largest = 0;
    const auto ordinary = [&] { return positive && negative && used_taps == all_taps; };
    for (int64_t c = 0; c < g.c && !ordinary(); ++c) {
      float looked_at[25];
      for (int64_t tap = 0; tap < taps; ++tap) {
        looked_at[tap] = w[k * g.w_k + c * g.w_c + offsets[tap]];
        const int32_t bits = reinterpret_cast<const Bits*>(looked_at)[tap];
        const Magnitude size = bits & kMagnitudeBits;
        positive |= bits > 0;
        negative |= bits < 0 && size != 0;
        used_taps |= static_cast<uint32_t>(size != 0) << tap;
        largest = std::max(largest, size);
      }
      if (seen < kEnough && steps(values) <= kFixedPointSteps) {
        value_looks().fixed_point(looked_at, taps, &values);
      }
      if (used_taps != 0) seen += taps;
    }
    if (largest >= kInfiniteMagnitude) return {FilterKind::not_finite, false};
    if (used_taps == 0 || ordinary() || kind != FilterKind::ordinary) continue;
    kind = positive && negative ? FilterKind::zero_tap : FilterKind::one_sign;
    if (seen >= kEnough || steps(values) > kFixedPointSteps) break;
  }
  return {kind, values.largest > 0 && steps(values) <= kFixedPointSteps};
}

// The fixed point of the whole filter.
FixedPoint filter_fixed_point(const WinogradShape& g, int64_t side, const float* w, int threads,
                              const ParallelCalls& parallel) {
  const int64_t taps = side * side, count = g.k * g.c * taps;
  const float* const lowest =
      w + g.w_first + (side - 1) * (std::min<int64_t>(0, g.w_h) + std::min<int64_t>(0, g.w_w));
  const int64_t reach =
      (g.k - 1) * g.w_k + (g.c - 1) * g.w_c + (side - 1) * (std::abs(g.w_h) + std::abs(g.w_w)) + 1;
  if (reach == count) {
    return fixed_point({lowest, 1, count, count}, kFixedPointSteps, threads, parallel);
  }
  FixedPoint values;  // some lie apart
  std::vector<float> channel(g.c * taps);
  for (int64_t k = 0; k < g.k; ++k) {
    const float* const first = w + g.w_first + k * g.w_k;
    for (int64_t i = 0; i < g.c * taps; ++i) {
      const int64_t tap = i % taps;
      channel[i] = first[i / taps * g.w_c + tap / side * g.w_h + tap % side * g.w_w];
    }
    value_looks().fixed_point(channel.data(), g.c * taps, &values);
  }
  return values;
}

// ------------------------------------------------------------------------------------- the input

int64_t floats_of(const WinogradShape& g) { return g.images * g.c * g.h_in * g.w_in; }

Lines lines_of(const WinogradShape& g, const float* x) {
  const int64_t all = floats_of(g);
  return g.x_pixel == g.c ? Lines{x, 1, all, all} : Lines{x, all / g.c, g.c, g.x_pixel};
}

// Which windows of a tile do not go well with transforms.
enum class Spoiled { all_do, empty, dim };

struct TileCounts {
  int64_t tiles = 0, plain = 0, not_finite = 0;
};

class TileLook {
 public:
  TileLook(const WinogradShape& shape, int64_t side, Spoiled spoiled,
           const Conv2dOperands<float>& operands)
      : g(shape), reach(shape.tile + side - 1), side(side), spoiled(spoiled), o(operands) {}

  int64_t rows() const { return g.images * g.tiles_h; }

  // The tiles of a row, which is counted through all images.
  void count(int64_t row, TileCounts* counts) const {
    const int64_t image = row / g.tiles_h, h = row % g.tiles_h;
    const Span seen = span(h, g.pad_h, g.h_in);
    std::vector<Magnitude> maxima((seen.last - seen.first) * g.w_in);
    const int64_t pixels = g.h_in * g.w_in;
    value_looks().pixel_maxima({o.first + image * g.x_pixel * pixels, g.layout, g.c, g.x_pixel,
                                pixels, o.prologue.at(image, 0)},
                               seen.first * g.w_in, seen.last * g.w_in, maxima.data());
    std::vector<Magnitude> lows(maxima.begin(), maxima.begin() + g.w_in), highs = lows;
    for (size_t i = g.w_in; i < maxima.size(); ++i) {
      lows[i % g.w_in] = std::min(lows[i % g.w_in], maxima[i]);
      highs[i % g.w_in] = std::max(highs[i % g.w_in], maxima[i]);
    }
    for (int64_t t = 0; t < g.tiles_w; ++t) {
      const Span w = span(t, g.pad_w, g.w_in);
      const Magnitude low = *std::min_element(lows.data() + w.first, lows.data() + w.last);
      const Magnitude high = *std::max_element(highs.data() + w.first, highs.data() + w.last);
      const bool finite = high < kInfiniteMagnitude;
      // Where no pixel is below the limit no window is.
      const bool plain =
          !finite || (below(low, high) && has_spoiled_window(maxima.data(), seen, h, t, high));
      counts->tiles += 1;
      counts->plain += plain;
      counts->not_finite += !finite;
    }
  }

 private:
  struct Span {
    int64_t first, last;
  };

  const WinogradShape& g;
  int64_t reach, side;
  Spoiled spoiled;
  const Conv2dOperands<float>& o;

  // What the tiles of an index along one axis read of the image.
  Span span(int64_t index, int64_t pad, int64_t size) const {
    const int64_t first = index * g.tile - pad;
    return {std::max<int64_t>(0, first), std::min(size, first + reach)};
  }

  bool below(Magnitude window, Magnitude tile) const {
    return spoiled != Spoiled::all_do && tile != 0 &&
           (window == 0 ||
            (spoiled == Spoiled::dim && as_float(window) < kDimWindow * as_float(tile)));
  }

  // `maxima` holds the magnitudes of the rows `seen`; the tile's largest is `most_of_tile`.
  bool has_spoiled_window(const Magnitude* maxima, const Span& seen, int64_t tile_h, int64_t tile_w,
                          Magnitude most_of_tile) const {
    const int64_t h = tile_h * g.tile, w = tile_w * g.tile;
    for (int64_t i = h; i < std::min(g.h_out, h + g.tile); ++i) {
      const Span rows{std::max(seen.first, i - g.pad_h), std::min(seen.last, i - g.pad_h + side)};
      for (int64_t j = w; j < std::min(g.w_out, w + g.tile); ++j) {
        const Span columns{std::max<int64_t>(0, j - g.pad_w), std::min(g.w_in, j - g.pad_w + side)};
        Magnitude largest = 0;
        for (int64_t r = rows.first; r < rows.last; ++r) {
          const Magnitude* const row = maxima + (r - seen.first) * g.w_in;
          for (int64_t s = columns.first; s < columns.last; ++s)
            largest = std::max(largest, row[s]);
        }
        if (below(largest, most_of_tile)) return true;
      }
    }
    return false;
  }
};

// The counts in every `step`-th row of tiles.
TileCounts look_at_tiles(const WinogradShape& g, int64_t side, Spoiled spoiled,
                         const Conv2dOperands<float>& o, int64_t step, int threads,
                         const ParallelCalls& parallel) {
  const TileLook look(g, side, spoiled, o);
  const int64_t rows = ceil_div(look.rows(), step);
  const int64_t chunks = std::min(threads_for(floats_of(g) / step, threads), rows);
  std::vector<TileCounts> counts(chunks);
  parallel(chunks, [&](int64_t i) {
    const Part part(rows, chunks, i);
    for (int64_t row = part.first; row < part.last; ++row) {
      look.count((2 * row + 1) * look.rows() / (2 * rows), &counts[i]);
    }
  });
  TileCounts sum;
  for (const TileCounts& each : counts) {
    sum.tiles += each.tiles;
    sum.plain += each.plain;
    sum.not_finite += each.not_finite;
  }
  return sum;
}

// ----------------------------------------------------------------------------------- the choice

constexpr int64_t kStep = 16;  // the rows of tiles, of which one is looked at

bool too_many(int64_t plain, int64_t tiles) { return 100 * plain > 3 * tiles; }

class Chooser {
 public:
  Chooser(Pass pass, const Conv2dShape& shape, const Conv2dOperands<float>& operands, int threads,
          const ParallelCalls& parallel, const SelectOptions& options = {})
      : pass_(pass), shape_(shape), o_(operands), threads_(threads), parallel_(parallel) {
    choice_.options = options;
    choice_.options.has_prologue = operands.prologue.exists();
  }

  // Looks at every `step`-th row of tiles.
  Conv2dChoice choose(int64_t step) {
    take();
    return keep_to_values(step);
  }

  Conv2dChoice choose_again(const Conv2dChoice& by_shape, int64_t step) {
    choice_ = by_shape;
    return keep_to_values(step);
  }

  Conv2dChoice choose(const Conv2dKernel<float>& kernel) {
    by_name_ = true;
    choice_.kernel = &kernel;
    if (must_look()) allow(allowed_by_filter());
    return choice_;
  }

 private:
  Pass pass_;
  const Conv2dShape& shape_;
  const Conv2dOperands<float>& o_;
  int threads_;
  const ParallelCalls& parallel_;
  bool by_name_ = false;
  Conv2dChoice choice_{};

  Conv2dChoice keep_to_values(int64_t step) {
    if (!must_look()) return choice_;
    by_name_ = !forced_kernel("conv2d").empty();
    allow(allowed_by_filter());
    if (!by_name_ && must_look()) allow(allowed_by_input(step));
    return choice_;
  }

  void take() { choice_.kernel = &select_conv2d<float>(pass_, shape_, threads_, choice_.options); }

  // Those that the chosen kernel applies.
  Transforms transforms() const { return transforms_of(*choice_.kernel, shape_); }

  void allow(Transforms allowed) {
    if (allowed >= transforms()) return;
    choice_.options.transforms = allowed;
    choice_.by_values = true;
    if (!by_name_) take();
  }

  WinogradShape tiling() const {
    const bool four = transforms() == Transforms::any && shape_.k_h == 3;
    return winograd_shape(shape_, pass_, four ? 4 : 2, o_);
  }

  bool must_look() const { return pass_ != Pass::bwd_weight && transforms() != Transforms::none; }

  Transforms allowed_by_filter() {
    const FilterLook filter = look_at_filter(tiling(), shape_.k_h, o_.second);
    choice_.facts.filter = filter.kind;
    if (filter.fixed_point) {
      choice_.facts.filter = FilterKind::fixed_point;
      const Transforms allowed = allowed_by_fixed_point();
      if (allowed != Transforms::any) return allowed;
      choice_.facts.filter = filter.kind;
    }
    return filter.kind == FilterKind::ordinary ? Transforms::any : Transforms::none;
  }

  // F(2,3) is exact if no sum on its way to an output, in the quarter steps of the transformed
  // filter, is longer than a float's significand. V is a sum of 4 values, U of (3/2)^2, and 9
  // products of each channel are added up. All of the filter is read only where it decides. What a
  // prologue makes of values is hardly ever fixed-point, and not looked at.
  Transforms allowed_by_fixed_point() {
    if (shape_.k_h != 3 || o_.prologue.exists()) return Transforms::none;
    const WinogradShape g = tiling();
    const double max_steps = (1 << 24) / (324 * static_cast<double>(g.c));
    const double x = steps(fixed_point(lines_of(g, o_.first), max_steps, threads_, parallel_));
    if (x > max_steps) return Transforms::none;
    const double w = steps(filter_fixed_point(g, shape_.k_h, o_.second, threads_, parallel_));
    if (w > kFixedPointSteps) return Transforms::any;
    return x * w < max_steps ? Transforms::local : Transforms::none;
  }

  Transforms allowed_by_input(int64_t step) {
    const Spoiled spoiled = transforms() == Transforms::local ? Spoiled::all_do
                            : pass_ == Pass::forward          ? Spoiled::dim
                                                              : Spoiled::empty;
    const TileCounts counts =
        look_at_tiles(tiling(), shape_.k_h, spoiled, o_, step, threads_, parallel_);
    choice_.facts.tiles = counts.tiles;
    choice_.facts.plain_tiles = counts.plain;
    if (too_many(counts.not_finite, counts.tiles)) return Transforms::none;
    return too_many(counts.plain, counts.tiles) ? Transforms::local : Transforms::any;
  }
};

}  // namespace

Conv2dChoice choose_conv2d(Pass pass, const Conv2dShape& shape,
                           const Conv2dOperands<float>& operands, int threads,
                           const ParallelCalls& parallel, const SelectOptions& options) {
  return Chooser(pass, shape, operands, threads, parallel, options).choose(kStep);
}

Conv2dChoice choose_again(const Conv2dChoice& by_shape, Pass pass, const Conv2dShape& shape,
                          const Conv2dOperands<float>& operands, int threads,
                          const ParallelCalls& parallel) {
  return Chooser(pass, shape, operands, threads, parallel).choose_again(by_shape, kStep);
}

Transforms transforms_of_filter(const Conv2dShape& shape, const Conv2dOperands<float>& operands) {
  if (shape.k_h != shape.k_w || (shape.k_h != 3 && shape.k_h != 5)) return Transforms::any;
  const WinogradShape g = winograd_shape(shape, Pass::forward, 2, operands);
  const FilterLook filter = look_at_filter(g, shape.k_h, operands.second);
  return filter.kind == FilterKind::ordinary && !filter.fixed_point ? Transforms::any
                                                                    : Transforms::none;
}

ValueFacts look_at_all(Pass pass, const Conv2dShape& shape, const Conv2dOperands<float>& operands,
                       int threads, const ParallelCalls& parallel) {
  return Chooser(pass, shape, operands, threads, parallel).choose(1).facts;
}

Transforms keep_exact(const Conv2dKernel<float>& kernel, const Conv2dShape& shape,
                      const Conv2dOperands<float>& operands, int threads,
                      const ParallelCalls& parallel) {
  return Chooser(kernel.pass, shape, operands, threads, parallel).choose(kernel).options.transforms;
}

const ValueLooks& value_looks() {
#if CNNEXT_X86
  if (active_isa() == Isa::avx512) return value_looks_avx512;
  if (active_isa() == Isa::avx2) return value_looks_avx2;
#endif
  return value_looks_baseline;
}

const char* filter_kind_name(FilterKind kind) {
  switch (kind) {
    case FilterKind::ordinary:
      return "ordinary";
    case FilterKind::fixed_point:
      return "fixed_point";
    case FilterKind::one_sign:
      return "one_sign";
    case FilterKind::zero_tap:
      return "zero_tap";
    case FilterKind::not_finite:
      return "not_finite";
  }
  return "";
}

}  // namespace cnnext
