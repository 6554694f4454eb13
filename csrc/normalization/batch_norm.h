// SPDX-License-Identifier: BSD-3-Clause
// Batch normalisation, with an addition and an activation behind it: the contract between its
// kernels and those who call them. For pixel p of channel c in image i,
//
//   h[i,c,p] = (x[i,c,p] - mean[c]) / sqrt(var[c] + eps)
//   y[i,c,p] = act(h[i,c,p] gamma[c] + beta[c] + r[i,c,p])
//
// In training, mean and var are those of the channel's m = n * pixels elements, var that of the sum
// of squares over m; otherwise they are given. What the running statistics become is
//
//   running_mean[c] += momentum (mean[c] - running_mean[c])
//   running_var[c] += momentum (var[c] m / (m - 1) - running_var[c])
//
// The gradients, where g is dy at those elements whose activation passes its argument on, else 0:
//
//   dr = g     dbeta[c] = sum g     dgamma[c] = sum g h
//   dx = gamma[c] / sqrt(var[c] + eps) (g - (dbeta[c] + h dgamma[c]) / m)
//
// the second term in training alone. Ioffe and Szegedy, "Batch normalization", ICML 2015
// (https://arxiv.org/abs/1502.03167). With r and an activation, what that passed on is asked of y;
// without r it is computed again. dx may be dy.
#pragma once

#include "common/kernel/epilogue.h"
#include "common/kernel/kernel.h"

namespace cnnext {

struct BatchNormShape {
  int64_t n, c, pixels;
  Layout layout;
  bool training;
  double momentum, eps;
  bool residual;          // whether there is an r
  Activation activation;  // none, relu or clamp
  double low, high;       // clamp's

  int64_t m() const { return n * pixels; }
  int64_t size() const { return n * c * pixels; }
};

// Null may be: gamma (1), beta (0), the running statistics, dx, and dr of a shape with r.
template <class T>
struct BatchNormOperands {
  const T* x;
  const T* r;
  const T* gamma;
  const T* beta;
  const T* mean;  // read by a forward pass without training, and by backward ones
  const T* var;
  T* batch_mean;  // written by a forward pass in training
  T* batch_var;
  T* running_mean;
  T* running_var;
  T* y;  // backward it is read

  const T* dy;
  T* dx;
  T* dr;
  T* dgamma;
  T* dbeta;
};

struct BatchNorm {
  static constexpr const char* kName = "batch_norm";
  using Shape = BatchNormShape;
  template <class T>
  using Operands = BatchNormOperands<T>;
  static double work(const Shape& s) {
    constexpr double kOperations = 4;  // of an element
    return kOperations * static_cast<double>(s.size());
  }
};

}  // namespace cnnext
