// SPDX-License-Identifier: BSD-3-Clause
// Runs kernels on torch's own thread pool, so that torch.set_num_threads governs us and ATen alike.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <cstdlib>
#include <memory>
#include <new>

#include "common/registry.h"

namespace cnnext {

// Scratch that lives on between calls: fresh memory of a few megabytes costs more in page faults
// than many a convolution. One block per calling thread, kept only up to kKept bytes.
class Scratch {
 public:
  static constexpr int64_t kKept = int64_t{64} << 20;

  static unsigned char* reserve(int64_t bytes) {
    thread_local Scratch scratch;
    if (bytes > scratch.size_ || (scratch.size_ > kKept && bytes <= kKept)) {
      scratch.block_.reset();
      scratch.size_ = 0;
      void* block = std::aligned_alloc(64, static_cast<size_t>(round_up(bytes + 1, 64)));
      if (block == nullptr) throw std::bad_alloc();
      scratch.block_.reset(static_cast<unsigned char*>(block));
      scratch.size_ = bytes;
    }
    return scratch.block_.get();
  }

 private:
  struct Free {
    void operator()(unsigned char* p) const { std::free(p); }
  };
  std::unique_ptr<unsigned char, Free> block_;
  int64_t size_ = 0;
};

template <class K>
void run_on_torch_threads(const K& kernel, const typename K::Shape& shape,
                          const typename K::Operands& operands, int threads) {
  run_kernel(kernel, shape, operands, threads, Scratch::reserve,
             [](int64_t chunks, const auto& body) {
               if (chunks <= 0) return;
               if (chunks == 1) return body(0);
               torch::stable::parallel_for(0, chunks, 1, [&body](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) body(i);
               });
             });
}

inline int torch_threads() { return static_cast<int>(torch::stable::get_num_threads()); }

}  // namespace cnnext
