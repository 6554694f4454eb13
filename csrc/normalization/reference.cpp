// SPDX-License-Identifier: BSD-3-Clause
// Batch normalisation as its formulas say it: the oracle, and the float64 path.
#include <cmath>

#include "normalization/batch_norm.h"

namespace cnnext {
namespace {

Plan one_task() {
  Plan plan;
  plan.tasks[0] = 1;
  return plan;
}

// Calls f(offset) for every element of a channel.
template <class F>
void for_each_element(const BatchNormShape& s, int64_t c, const F& f) {
  const bool last = s.layout == Layout::channels_last;
  for (int64_t i = 0; i < s.n; ++i) {
    for (int64_t p = 0; p < s.pixels; ++p) {
      f(last ? (i * s.pixels + p) * s.c + c : (i * s.c + c) * s.pixels + p);
    }
  }
}

// What an element is before it meets the activation, rounded as kernels round it.
template <class T>
struct Affine {
  Affine(const BatchNormShape& s, const BatchNormOperands<T>& o, int64_t c, T mean_of_c, T var)
      : mean(mean_of_c),
        deviation(std::sqrt(static_cast<double>(var) + s.eps)),
        scale(static_cast<T>((o.gamma == nullptr ? 1 : o.gamma[c]) / deviation)),
        shift(o.beta == nullptr ? 0 : o.beta[c]) {}

  T operator()(T x) const { return (x - mean) * scale + shift; }

  T mean;
  double deviation;
  T scale, shift;
};

template <class T>
struct BatchNormReference {
  static Plan plan(const BatchNormShape&, int) { return one_task(); }

  static void run(const BatchNormShape& s, const Plan&, const BatchNormOperands<T>& o,
                  const Slice&) {
    for (int64_t c = 0; c < s.c; ++c) {
      if (s.training) measure(s, o, c);
      const Affine<T> affine(s, o, c, (s.training ? o.batch_mean : o.mean)[c],
                             (s.training ? o.batch_var : o.var)[c]);
      for_each_element(s, c, [&](int64_t at) {
        T y = affine(o.x[at]);
        if (s.residual) y += o.r[at];
        if (s.activation == Activation::relu && y < 0) y = 0;
        if (s.activation == Activation::clamp) {
          if (y < static_cast<T>(s.low)) y = static_cast<T>(s.low);
          if (y > static_cast<T>(s.high)) y = static_cast<T>(s.high);
        }
        o.y[at] = y;
      });
    }
  }

 private:
  static void measure(const BatchNormShape& s, const BatchNormOperands<T>& o, int64_t c) {
    const double m = static_cast<double>(s.m());
    double sum = 0, squares = 0;
    for_each_element(s, c, [&](int64_t at) { sum += o.x[at]; });
    const double mean = sum / m;
    for_each_element(s, c, [&](int64_t at) { squares += (o.x[at] - mean) * (o.x[at] - mean); });
    o.batch_mean[c] = static_cast<T>(mean);
    o.batch_var[c] = static_cast<T>(squares / m);
    const auto follow = [&](T* running, double value) {
      if (running != nullptr) {
        running[c] = static_cast<T>((1 - s.momentum) * running[c] + s.momentum * value);
      }
    };
    follow(o.running_mean, mean);
    follow(o.running_var, squares / (m - 1));
  }
};

template <class T>
struct BatchNormReferenceBackward {
  static Plan plan(const BatchNormShape&, int) { return one_task(); }

  static void run(const BatchNormShape& s, const Plan&, const BatchNormOperands<T>& o,
                  const Slice&) {
    for (int64_t c = 0; c < s.c; ++c) {
      const Affine<T> affine(s, o, c, o.mean[c], o.var[c]);
      const auto passed = [&](int64_t at) {
        const T a = s.residual && s.activation != Activation::none ? o.y[at] : affine(o.x[at]);
        const bool stopped = (s.activation == Activation::relu && a <= 0) ||
                             (s.activation == Activation::clamp &&
                              (a <= static_cast<T>(s.low) || a >= static_cast<T>(s.high)));
        return stopped ? 0.0 : static_cast<double>(o.dy[at]);
      };
      const auto normalised = [&](int64_t at) {
        return (static_cast<double>(o.x[at]) - affine.mean) / affine.deviation;
      };
      double sum = 0, product = 0;
      for_each_element(s, c, [&](int64_t at) {
        sum += passed(at);
        product += passed(at) * normalised(at);
      });
      o.dbeta[c] = static_cast<T>(sum);
      o.dgamma[c] = static_cast<T>(product);
      const double m = static_cast<double>(s.m());
      for_each_element(s, c, [&](int64_t at) {
        const double g = passed(at);
        const double common = s.training ? (sum + normalised(at) * product) / m : 0;
        if (o.dx != nullptr) o.dx[at] = static_cast<T>(affine.scale * (g - common));
        if (o.dr != nullptr) o.dr[at] = static_cast<T>(g);
      });
    }
  }
};

}  // namespace

#define CNNEXT_KERNELS "normalization/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
