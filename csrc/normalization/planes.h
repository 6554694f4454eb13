// SPDX-License-Identifier: BSD-3-Clause
// Batch normalisation of planes (nchw). A task is a channel, whose planes mostly fit a core's L2:
// then x and dy come from memory once, and what the second pass reads is still there.
#pragma once

#include "normalization/simd.h"

namespace cnnext {
namespace {

// Floats of a block, which stay in L1, and at most so many images: each adds at least one to a
// chain of floats that are added up one after the other, and where those are alike their rounding
// errors are, too, and do not cancel.
constexpr int64_t kPlaneBlock = 4096, kMaxImages = 64;

// A block of a channel: so many floats of each of some images, which lie plane by plane.
struct PlaneBlock {
  int64_t offset, images, floats;

  int64_t size() const { return images * floats; }
};

// Calls f(block) for the blocks of a channel: parts of a plane, or small planes of several images.
template <class F>
CNNEXT_INLINE void for_each_block(const BatchNormShape& s, int64_t c, const F& f) {
  const int64_t together = max(1, min(kMaxImages, kPlaneBlock / s.pixels));
  for (int64_t i = 0; i < s.n; i += together) {
    for (int64_t p = 0; p < s.pixels; p += kPlaneBlock) {
      f(PlaneBlock{(i * s.c + c) * s.pixels + p, min(together, s.n - i),
                   min(kPlaneBlock, s.pixels - p)});
    }
  }
}

// Calls body(way, offset, lanes) for the vectors of a block.
template <int N, class F>
CNNEXT_INLINE void for_each_vector(const BatchNormShape& s, const PlaneBlock& block,
                                   const F& body) {
  for (int64_t i = 0; i < block.images; ++i) {
    const int64_t plane = block.offset + i * s.c * s.pixels;
    for_each_vector<N>(block.floats,
                       [&](int way, int64_t at, auto lanes) { body(way, plane + at, lanes); });
  }
}

template <int N>
struct BatchNormPlanes {
  using Operands = BatchNormOperands<float>;

  static Plan plan(const BatchNormShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.c;
    return plan;
  }

  static void run(const BatchNormShape& s, const Plan&, const Operands& o, const Slice& slice) {
    with_activation(s, [&](auto activation) {
      with_flag(s.residual, [&](auto residual) {
        for (int64_t c = slice.begin; c < slice.end; ++c) {
          if (s.training) store_statistics(s, o, c, measured(s, o.x, c));
          const Affine affine(s, o, c, (s.training ? o.batch_mean : o.mean)[c],
                              (s.training ? o.batch_var : o.var)[c]);
          normalise<activation.kActivation, residual.kValue>(s, o, c, affine);
        }
      });
    });
  }

 private:
  static Moments measured(const BatchNormShape& s, const float* x, int64_t c) {
    int64_t before = 0;
    double sum = 0, all_squares = 0;
    for_each_block(s, c, [&](const PlaneBlock& block) {
      f32<N> sums[kWays] = {}, distances[kWays] = {}, squares[kWays] = {};
      for_each_vector<N>(s, block, [&](int way, int64_t at, auto lanes) {
        sums[way] += load_lanes<N>(x + at, lanes);
      });
      const float about = total<N>(sums) / static_cast<float>(block.size());
      const f32<N> mean = broadcast<N>(about);
      for_each_vector<N>(s, block, [&](int way, int64_t at, auto lanes) {
        const f32<N> distance = keep_lanes<N>(load_lanes<N>(x + at, lanes) - mean, lanes);
        distances[way] += distance;
        squares[way] += distance * distance;
      });
      const Joining join(before, block.size());
      join(static_cast<double>(about), static_cast<double>(total<N>(distances)),
           static_cast<double>(total<N>(squares)), sum, all_squares);
      before += block.size();
    });
    return {static_cast<double>(before), sum, all_squares};
  }

  template <Activation kActivation, bool kResidual>
  static void normalise(const BatchNormShape& s, const Operands& o, int64_t c,
                        const Affine& affine) {
    const f32<N> mean = broadcast<N>(affine.mean), scale = broadcast<N>(affine.scale),
                 shift = broadcast<N>(affine.shift);
    const Activated<N, kActivation> activated(s);
    for (int64_t i = 0; i < s.n; ++i) {
      const int64_t plane = (i * s.c + c) * s.pixels;
      for_each_vector<N>(s.pixels, [&](int, int64_t at, auto lanes) {
        f32<N> y = (load_lanes<N>(o.x + plane + at, lanes) - mean) * scale + shift;
        if constexpr (kResidual) y += load_lanes<N>(o.r + plane + at, lanes);
        store_lanes<N>(o.y + plane + at, activated.of(y), lanes);
      });
    }
  }
};

template <int N>
struct BatchNormPlanesBackward {
  using Operands = BatchNormOperands<float>;

  static Plan plan(const BatchNormShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.c;
    return plan;
  }

  static void run(const BatchNormShape& s, const Plan&, const Operands& o, const Slice& slice) {
    with_activation(s, [&](auto activation) {
      with_flag(s.residual, [&](auto residual) {
        with_flag(o.dr != nullptr, [&](auto keeps) {
          for (int64_t c = slice.begin; c < slice.end; ++c) {
            differentiate<activation.kActivation, residual.kValue, keeps.kValue>(s, o, c);
          }
        });
      });
    });
  }

 private:
  template <Activation kActivation, bool kResidual, bool kKeeps>
  static void differentiate(const BatchNormShape& s, const Operands& o, int64_t c) {
    const Affine affine(s, o, c, o.mean[c], o.var[c]);
    const f32<N> mean = broadcast<N>(affine.mean), scale = broadcast<N>(affine.scale),
                 shift = broadcast<N>(affine.shift);
    const Activated<N, kActivation> activated(s);
    const auto gradient = [&](int64_t at, f32<N> distance, auto lanes) {
      const f32<N> dy = load_lanes<N>(o.dy + at, lanes);
      if constexpr (kActivation == Activation::none) return dy;
      if constexpr (kResidual) return activated.passed(dy, load_lanes<N>(o.y + at, lanes));
      return activated.passed(dy, distance * scale + shift);
    };

    double sum = 0, product = 0;
    for_each_block(s, c, [&](const PlaneBlock& block) {
      f32<N> sums[kWays] = {}, products[kWays] = {};
      for_each_vector<N>(s, block, [&](int way, int64_t at, auto lanes) {
        const f32<N> distance = load_lanes<N>(o.x + at, lanes) - mean;
        const f32<N> g = gradient(at, distance, lanes);
        if constexpr (kKeeps) store_lanes<N>(o.dr + at, g, lanes);
        sums[way] += g;
        products[way] += keep_lanes<N>(g * distance, lanes);
      });
      sum += total<N>(sums);
      product += total<N>(products);
    });

    const Gradients gradients(s, affine, sum, product);
    o.dgamma[c] = gradients.dgamma;
    o.dbeta[c] = gradients.dbeta;
    if (o.dx == nullptr) return;
    const f32<N> offset = broadcast<N>(gradients.offset), slope = broadcast<N>(gradients.slope);
    const bool training = s.training;
    for (int64_t i = 0; i < s.n; ++i) {
      const int64_t plane = (i * s.c + c) * s.pixels;
      for_each_vector<N>(s.pixels, [&](int, int64_t more, auto lanes) {
        const int64_t at = plane + more;
        const f32<N> distance = load_lanes<N>(o.x + at, lanes) - mean;
        f32<N> g;
        if constexpr (kKeeps) {
          g = load_lanes<N>(o.dr + at, lanes);
        } else {
          g = gradient(at, distance, lanes);
        }
        if (training) g -= offset + distance * slope;
        store_lanes<N>(o.dx + at, scale * g, lanes);
      });
    }
  }
};

}  // namespace
}  // namespace cnnext
