// SPDX-License-Identifier: BSD-3-Clause
// Batch normalisation of pixels (channels_last). Threads share the pixels out: first each takes the
// sums of its own, over blocks of pixels that stay in L2; then those are put together; then the
// pixels are gone through once more. What a channel is multiplied by lies in a table, a row for
// each coefficient.
#pragma once

#include "normalization/simd.h"

namespace cnnext {
namespace {

// The phases; a pass that has nothing to do in the first of them begins later.
constexpr int kPreparing = 0, kSumming = 1, kJoining = 2, kWriting = 3, kPhases = 4;

// What a plan notes of itself: its first phase, its tasks that take sums, its blocks of pixels.
constexpr int kFirst = 0, kSums = 1, kBlocks = 2;

CNNEXT_INLINE int phase_of(const Plan& plan, const Slice& slice) {
  return static_cast<int>(plan.block[kFirst]) + slice.phase;
}

// Floats of a block of pixels, which are a task of the last phase, and at least so many pixels that
// what is done once a block does not count.
constexpr int64_t kPixelFloats = 32 * 1024, kMinBlock = 16;
CNNEXT_INLINE int64_t block_of_pixels(const BatchNormShape& s) {
  return max(kMinBlock, kPixelFloats / s.c);
}

// Sums are taken over at most so many pixels, whose floats are added up one after the other: where
// those are alike their rounding errors are, too, and do not cancel.
constexpr int64_t kMaxSummed = 256;

constexpr int kMean = 0, kScale = 1, kShift = 2, kOffset = 3, kSlope = 4;  // the coefficients

// The tables of a call, one behind the other: for each task that takes sums two rows of doubles,
// then the coefficients.
struct Tables {
  Tables(const BatchNormShape& s, const Plan& plan, const Slice& slice)
      : tasks(plan.block[kSums]),
        c(s.c),
        sums(reinterpret_cast<double*>(slice.shared)),
        coefficients(reinterpret_cast<float*>(sums + 2 * tasks * c)) {}

  static int64_t bytes(const BatchNormShape& s, int64_t tasks, int64_t rows) {
    return s.c * (2 * tasks * static_cast<int64_t>(sizeof(double)) +
                  rows * static_cast<int64_t>(sizeof(float)));
  }

  double* sums_of(int64_t task, int which) const { return sums + (2 * task + which) * c; }
  float* row(int coefficient) const { return coefficients + coefficient * c; }

  void store(int64_t channel, const Affine& affine) const {
    row(kMean)[channel] = affine.mean;
    row(kScale)[channel] = affine.scale;
    row(kShift)[channel] = affine.shift;
  }

  int64_t tasks, c;
  double* sums;
  float* coefficients;
};

// A task of sums for each thread, if each has enough.
CNNEXT_INLINE Plan plan_for_pixels(const BatchNormShape& s, int threads, int first, int rows) {
  Plan plan;
  const int64_t blocks = ceil_div(s.m(), block_of_pixels(s)),
                sums = first <= kSumming ? min(threads, blocks) : 0;
  const int64_t tasks[kPhases] = {1, sums, 1, blocks};
  plan.n_phases = kPhases - first;
  for (int phase = first; phase < kPhases; ++phase) plan.tasks[phase - first] = tasks[phase];
  plan.block[kFirst] = first;
  plan.block[kSums] = sums;
  plan.block[kBlocks] = blocks;
  plan.shared_bytes = Tables::bytes(s, sums, rows);
  return plan;
}

// The pixels of a task of sums.
struct PixelRange {
  PixelRange(const BatchNormShape& s, const Plan& plan, int64_t task)
      : first(start_of(s, plan, task)), last(min(s.m(), start_of(s, plan, task + 1))) {}

  static int64_t start_of(const BatchNormShape& s, const Plan& plan, int64_t task) {
    return plan.block[kBlocks] * task / plan.block[kSums] * block_of_pixels(s);
  }

  int64_t first, last;
};

// Calls block(first, count) for the blocks of pixels that a task takes sums of.
template <class F>
CNNEXT_INLINE void for_each_block(const BatchNormShape& s, const Plan& plan, int64_t task,
                                  const F& block) {
  const PixelRange all(s, plan, task);
  const int64_t pixels = min(kMaxSummed, block_of_pixels(s));
  for (int64_t first = all.first; first < all.last; first += pixels) {
    block(first, min(pixels, all.last - first));
  }
}

// Calls block(first, last) for the blocks of a slice of the last phase, the last block first: what
// the sums read last is what caches still have.
template <class F>
CNNEXT_INLINE void for_each_block_backwards(const BatchNormShape& s, const Slice& slice,
                                            const F& block) {
  const int64_t pixels = block_of_pixels(s);
  for (int64_t b = slice.end - 1; b >= slice.begin; --b) {
    block(b * pixels, min(s.m(), (b + 1) * pixels));
  }
}

// Calls body(channel, lanes) for groups of kVectors vectors of channels, then for vectors, of which
// the last may be partial.
template <int N, class Group, class Rest>
CNNEXT_INLINE void for_each_group(int64_t c, int vectors, const Group& group, const Rest& rest) {
  int64_t at = 0;
  for (; at + vectors * N <= c; at += vectors * N) group(at);
  for (; at < c; at += N) rest(at, min(N, c - at));
}

template <int N>
struct BatchNormPixels {
  using Operands = BatchNormOperands<float>;

  static Plan plan(const BatchNormShape& s, int threads) {
    return plan_for_pixels(s, threads, s.training ? kSumming : kJoining, kShift + 1);
  }

  static void run(const BatchNormShape& s, const Plan& plan, const Operands& o,
                  const Slice& slice) {
    const Tables tables(s, plan, slice);
    const int phase = phase_of(plan, slice);
    if (phase == kSumming) {
      for (int64_t task = slice.begin; task < slice.end; ++task) measure(s, plan, o, tables, task);
    } else if (phase == kJoining) {
      join(s, plan, o, tables);
    } else {
      with_activation(s, [&](auto activation) {
        with_flag(s.residual, [&](auto residual) {
          for_each_block_backwards(s, slice, [&](int64_t first, int64_t last) {
            normalise<activation.kActivation, residual.kValue>(s, o, tables, first, last);
          });
        });
      });
    }
  }

 private:
  static constexpr int kVectors = 4;  // side by side, whose additions do not wait for each other

  // The sums of a task's pixels, and of the squares about their means.
  static void measure(const BatchNormShape& s, const Plan& plan, const Operands& o,
                      const Tables& tables, int64_t task) {
    int64_t before = 0;
    for (int64_t c = 0; c < s.c; ++c) tables.sums_of(task, 0)[c] = tables.sums_of(task, 1)[c] = 0;
    for_each_block(s, plan, task, [&](int64_t first, int64_t count) {
      const Joining join(before, count);
      for_each_group<N>(
          s.c, kVectors,
          [&](int64_t c) {
            measure_group<kVectors>(s, o.x, first, count, c, Width<N>(), tables, task, join);
          },
          [&](int64_t c, int64_t lanes) {
            measure_group<1>(s, o.x, first, count, c, lanes, tables, task, join);
          });
      before += count;
    });
  }

  // The same for so many vectors of channels side by side, of which `lanes` count.
  template <int kCount, class Lanes>
  static void measure_group(const BatchNormShape& s, const float* x, int64_t first, int64_t count,
                            int64_t c, Lanes lanes, const Tables& tables, int64_t task,
                            const Joining& join) {
    const float* const begin = x + first * s.c + c;
    const float* const end = begin + count * s.c;
    f32<N> mean[kCount] = {}, distances[kCount] = {}, squares[kCount] = {};
    for (const float* pixel = begin; pixel != end; pixel += s.c) {
      CNNEXT_UNROLL(4)
      for (int v = 0; v < kCount; ++v) mean[v] += load_lanes<N>(pixel + v * N, lanes);
    }
    CNNEXT_UNROLL(4)
    for (int v = 0; v < kCount; ++v) mean[v] /= static_cast<float>(count);
    for (const float* pixel = begin; pixel != end; pixel += s.c) {
      CNNEXT_UNROLL(4)
      for (int v = 0; v < kCount; ++v) {
        const f32<N> distance = load_lanes<N>(pixel + v * N, lanes) - mean[v];
        distances[v] += distance;
        squares[v] += distance * distance;
      }
    }
    for (int v = 0; v < kCount; ++v) {
      double* const sum = tables.sums_of(task, 0) + c + v * N;
      double* const all_squares = tables.sums_of(task, 1) + c + v * N;
      for (int64_t lane = 0; lane < lane_count<N>(lanes); ++lane) {
        join(static_cast<double>(mean[v][lane]), static_cast<double>(distances[v][lane]),
             static_cast<double>(squares[v][lane]), sum[lane], all_squares[lane]);
      }
    }
  }

  static void join(const BatchNormShape& s, const Plan& plan, const Operands& o,
                   const Tables& tables) {
    for (int64_t c = 0; c < s.c; ++c) {
      if (s.training) store_statistics(s, o, c, joined(s, plan, tables, c));
      const Affine affine(s, o, c, (s.training ? o.batch_mean : o.mean)[c],
                          (s.training ? o.batch_var : o.var)[c]);
      tables.store(c, affine);
    }
  }

  // The moments of all tasks together: the distance of a task's mean from itself is 0.
  static Moments joined(const BatchNormShape& s, const Plan& plan, const Tables& tables,
                        int64_t c) {
    int64_t before = 0;
    double sum = 0, squares = 0;
    for (int64_t task = 0; task < tables.tasks; ++task) {
      const PixelRange range(s, plan, task);
      const int64_t pixels = range.last - range.first;
      const double mean = tables.sums_of(task, 0)[c] / static_cast<double>(pixels);
      Joining(before, pixels)(mean, 0.0, tables.sums_of(task, 1)[c], sum, squares);
      before += pixels;
    }
    return {static_cast<double>(before), sum, squares};
  }

  template <Activation kActivation, bool kResidual>
  static void normalise(const BatchNormShape& s, const Operands& o, const Tables& tables,
                        int64_t first, int64_t last) {
    const Activated<N, kActivation> activated(s);
    const float* const mean = tables.row(kMean);
    const float* const scale = tables.row(kScale);
    const float* const shift = tables.row(kShift);
    const int64_t channels = s.c;
    for (int64_t p = first; p < last; ++p) {
      const float* const x = o.x + p * channels;
      const float* const r = kResidual ? o.r + p * channels : nullptr;
      float* const y = o.y + p * channels;
      for_each_vector<N>(channels, [&](int, int64_t c, auto lanes) {
        f32<N> v = (load_lanes<N>(x + c, lanes) - load_lanes<N>(mean + c, lanes)) *
                       load_lanes<N>(scale + c, lanes) +
                   load_lanes<N>(shift + c, lanes);
        if constexpr (kResidual) v += load_lanes<N>(r + c, lanes);
        store_lanes<N>(y + c, activated.of(v), lanes);
      });
    }
  }
};

template <int N>
struct BatchNormPixelsBackward {
  using Operands = BatchNormOperands<float>;

  static Plan plan(const BatchNormShape& s, int threads) {
    return plan_for_pixels(s, threads, kPreparing, kSlope + 1);
  }

  static void run(const BatchNormShape& s, const Plan& plan, const Operands& o,
                  const Slice& slice) {
    const Tables tables(s, plan, slice);
    const int phase = phase_of(plan, slice);
    if (phase == kPreparing) return prepare(s, o, tables);
    if (phase == kJoining) return join(s, o, tables);
    with_activation(s, [&](auto activation) {
      with_flag(s.residual, [&](auto residual) {
        with_flag(o.dr != nullptr, [&](auto keeps) {
          using Pass = Differentiated<activation.kActivation, residual.kValue, keeps.kValue>;
          if (phase == kSumming) {
            for (int64_t task = slice.begin; task < slice.end; ++task) {
              Pass(s, o).sum(plan, tables, task);
            }
          } else if (o.dx != nullptr) {
            for_each_block_backwards(s, slice, [&](int64_t first, int64_t last) {
              Pass(s, o).write(tables, first, last);
            });
          }
        });
      });
    });
  }

 private:
  static constexpr int kVectors = 2;  // side by side, with a sum and a product each

  template <Activation kActivation, bool kResidual, bool kKeeps>
  struct Differentiated {
    Differentiated(const BatchNormShape& shape, const Operands& operands)
        : s(shape), o(operands), all_dy(operands.dy), all_y(operands.y), activated(shape) {}

    template <class Lanes>
    CNNEXT_INLINE f32<N> gradient(int64_t at, f32<N> distance, f32<N> scale, f32<N> shift,
                                  Lanes lanes) const {
      const f32<N> dy = load_lanes<N>(all_dy + at, lanes);
      if constexpr (kActivation == Activation::none) return dy;
      if constexpr (kResidual) return activated.passed(dy, load_lanes<N>(all_y + at, lanes));
      return activated.passed(dy, distance * scale + shift);
    }

    void sum(const Plan& plan, const Tables& tables, int64_t task) const {
      for (int64_t c = 0; c < s.c; ++c) {
        tables.sums_of(task, 0)[c] = tables.sums_of(task, 1)[c] = 0;
      }
      for_each_block(s, plan, task, [&](int64_t first, int64_t count) {
        for_each_group<N>(
            s.c, kVectors,
            [&](int64_t c) { sum_group<kVectors>(tables, task, first, count, c, Width<N>()); },
            [&](int64_t c, int64_t lanes) { sum_group<1>(tables, task, first, count, c, lanes); });
      });
    }

    // Of `vectors` vectors of channels side by side, whose last lanes may not count.
    template <int vectors, class Lanes>
    void sum_group(const Tables& tables, int64_t task, int64_t first, int64_t count, int64_t c,
                   Lanes lanes) const {
      f32<N> mean[vectors], scale[vectors], shift[vectors], sum[vectors] = {},
                                                            product[vectors] = {};
      for (int v = 0; v < vectors; ++v) {
        mean[v] = load_lanes<N>(tables.row(kMean) + c + v * N, lanes);
        scale[v] = load_lanes<N>(tables.row(kScale) + c + v * N, lanes);
        shift[v] = load_lanes<N>(tables.row(kShift) + c + v * N, lanes);
      }
      const Differentiated self = *this;
      const int64_t channels = s.c, end = (first + count) * channels;
      const float* const x = o.x;
      float* const dr = o.dr;
      for (int64_t pixel = first * channels; pixel < end; pixel += channels) {
        CNNEXT_UNROLL(2)
        for (int v = 0; v < vectors; ++v) {
          const int64_t at = pixel + c + v * N;
          const f32<N> distance = load_lanes<N>(x + at, lanes) - mean[v];
          const f32<N> g = self.gradient(at, distance, scale[v], shift[v], lanes);
          if constexpr (kKeeps) store_lanes<N>(dr + at, g, lanes);
          sum[v] += g;
          product[v] += g * distance;
        }
      }
      for (int v = 0; v < vectors; ++v) {
        double* const sums = tables.sums_of(task, 0) + c + v * N;
        double* const products = tables.sums_of(task, 1) + c + v * N;
        for (int64_t lane = 0; lane < lane_count<N>(lanes); ++lane) {
          sums[lane] += static_cast<double>(sum[v][lane]);
          products[lane] += static_cast<double>(product[v][lane]);
        }
      }
    }

    void write(const Tables& tables, int64_t first, int64_t last) const {
      const float* const mean = tables.row(kMean);
      const float* const scale = tables.row(kScale);
      const float* const shift = tables.row(kShift);
      const float* const offset = tables.row(kOffset);
      const float* const slope = tables.row(kSlope);
      const int64_t channels = s.c;
      const bool training = s.training;
      const float *const all_x = o.x, *const all_dr = o.dr;
      float* const dx = o.dx;
      const Differentiated self = *this;
      for (int64_t p = first; p < last; ++p) {
        const int64_t pixel = p * channels;
        for_each_vector<N>(channels, [&](int, int64_t c, auto lanes) {
          const f32<N> scales = load_lanes<N>(scale + c, lanes);
          const f32<N> distance =
              load_lanes<N>(all_x + pixel + c, lanes) - load_lanes<N>(mean + c, lanes);
          f32<N> g;
          if constexpr (kKeeps) {
            g = load_lanes<N>(all_dr + pixel + c, lanes);
          } else {
            g = self.gradient(pixel + c, distance, scales, load_lanes<N>(shift + c, lanes), lanes);
          }
          if (training) {
            g -= load_lanes<N>(offset + c, lanes) + distance * load_lanes<N>(slope + c, lanes);
          }
          store_lanes<N>(dx + pixel + c, scales * g, lanes);
        });
      }
    }

    const BatchNormShape& s;
    const Operands& o;
    const float *all_dy, *all_y;
    Activated<N, kActivation> activated;
  };

  static void prepare(const BatchNormShape& s, const Operands& o, const Tables& tables) {
    for (int64_t c = 0; c < s.c; ++c) tables.store(c, Affine(s, o, c, o.mean[c], o.var[c]));
  }

  static void join(const BatchNormShape& s, const Operands& o, const Tables& tables) {
    for (int64_t c = 0; c < s.c; ++c) {
      double sum = 0, product = 0;
      for (int64_t task = 0; task < tables.tasks; ++task) {
        sum += tables.sums_of(task, 0)[c];
        product += tables.sums_of(task, 1)[c];
      }
      const Affine affine(s, o, c, o.mean[c], o.var[c]);
      const Gradients gradients(s, affine, sum, product);
      o.dgamma[c] = gradients.dgamma;
      o.dbeta[c] = gradients.dbeta;
      tables.row(kOffset)[c] = gradients.offset;
      tables.row(kSlope)[c] = gradients.slope;
    }
  }
};

}  // namespace
}  // namespace cnnext
