// SPDX-License-Identifier: BSD-3-Clause
// A case of the engine's test: a kernel of two operands, how it is launched, and what it must give.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace cases {

constexpr int kSize = 256;  // elements of `in` and of `out`
constexpr int kBlock = 64;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr size_t kDynamic = kBlock * sizeof(float);
constexpr size_t kLargeDynamic = 64 * 1024;

inline float* dynamic_floats() { return static_cast<float*>(cuda_on_cpu::dynamic_shared()); }

// The operands of a run: `in` counts up from 1, `out` is unset.
class Operands {
 public:
  Operands() : in_(kSize), out_(kSize, NAN) {
    for (int i = 0; i < kSize; ++i) in_[i] = static_cast<float>(i + 1);
    cuda_on_cpu::allow(in_.data(), sizeof(float) * kSize, false);
    cuda_on_cpu::allow(out_.data(), sizeof(float) * kSize, true);
  }
  ~Operands() {
    cuda_on_cpu::forget(in_.data());
    cuda_on_cpu::forget(out_.data());
  }
  Operands(const Operands&) = delete;
  Operands& operator=(const Operands&) = delete;

  const float* in() const { return in_.data(); }
  float* out() { return out_.data(); }

 private:
  std::vector<float> in_, out_;
};

struct Shape {
  dim3 grid, block;
  size_t shared_bytes;
};

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const Shape& shape, Arguments... arguments) {
  std::tuple<std::remove_const_t<Parameters>...> values(arguments...);
  std::apply(
      [&](auto&... value) {
        void* pointers[] = {&value...};
        cudaLaunchKernel(kernel, shape.grid, shape.block, pointers, shape.shared_bytes, nullptr);
      },
      values);
}

using Expected = float (*)(int i);  // out[i], NaN if it does not matter
inline float any(int) { return NAN; }
inline float counted(int i) { return i < kBlock ? static_cast<float>(i + 1) : NAN; }

inline std::string differences(const float* out, Expected expected) {
  for (int i = 0; i < kSize; ++i) {
    const float right = expected(i);
    if (std::isnan(right) || out[i] == right) continue;
    return "out[" + std::to_string(i) + "] is " + std::to_string(out[i]) + ", not " +
           std::to_string(right);
  }
  return "";
}

struct Case {
  const char* name;
  void (*kernel)(const float*, float*);
  Shape shape;
  Expected expected = any;

  // Returns how the result differs, nothing if it is right; throws the fault.
  std::string run() const {
    Operands operands;
    launch(kernel, shape, operands.in(), operands.out());
    return differences(operands.out(), expected);
  }
};

// Runs the case of that name, if it is one of them.
template <size_t kCount>
std::optional<std::string> run_named(const Case (&cases)[kCount], const std::string& name) {
  for (const Case& candidate : cases) {
    if (candidate.name == name) return candidate.run();
  }
  return std::nullopt;
}

// The same for the kernels of good.cu.
std::optional<std::string> run_good(const std::string& name);

}  // namespace cases
