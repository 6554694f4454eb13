// SPDX-License-Identifier: BSD-3-Clause
// linear on CUDA is ATen's: cuBLAS is at the limit of the memory, or of the tensor cores, and
// follows torch's precision flags. These operators are here for what is built on linear.
#include <vector>

#include "common/torch/cuda.h"
#include "common/torch/product.h"
#include "linear/torch_adapter.h"

namespace cnnext {
namespace {

// Leading dimensions as rows of one matrix.
Tensor rows_of(const Tensor& t, int64_t rows, int64_t columns) {
  check_allocated(t);  // reshape may copy
  return torch::stable::reshape(t, {rows, columns});
}

// A matrix in the shape of `like`, but for its last dimension.
Tensor in_shape_of(const Tensor& like, const Tensor& matrix) {
  std::vector<int64_t> sizes(like.sizes().begin(), like.sizes().end());
  sizes.back() = matrix.size(1);
  return torch::stable::reshape(matrix, sizes);
}

struct Device {
  static Tensor forward(const LinearShape& s, const Tensor& input, const Tensor& weight,
                        const std::optional<Tensor>& bias) {
    Tensor result = product(rows_of(input, s.m, s.k), transposed(weight));
    if (bias.has_value()) {
      check_allocated(*bias);
      result = torch::stable::subtract(result, *bias, -1.0);
    }
    return in_shape_of(input, result);
  }

  static Tensor backward_input(const LinearShape& s, const Tensor& grad_output,
                               const Tensor& weight) {
    return in_shape_of(grad_output, product(rows_of(grad_output, s.m, s.n), weight));
  }

  static Tensor backward_weight(const LinearShape& s, const Tensor& grad_output,
                                const Tensor& input) {
    return product(transposed(rows_of(grad_output, s.m, s.n)), rows_of(input, s.m, s.k));
  }
};

}  // namespace

CNNEXT_CUDA_OPERATORS(m) { linear::implement_operators<Device>(m); }

}  // namespace cnnext
