// SPDX-License-Identifier: BSD-3-Clause
// A step of a plan: a kernel, chosen and planned, on places in memory that a call will know.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/kernel/registry.h"
#include "common/kernel/run.h"
#include "plan/weights.h"

namespace cnnext {
namespace plan {

// The extents of a value. Features, (n, c), are images of one pixel; a sequence, (n, w, c), is as
// images of one row lie in memory. Its steps are either of the two, n or w.
struct Extent {
  int64_t n, c, h, w;
  bool features;
  bool sequence = false;

  int64_t pixels() const { return h * w; }
  int64_t size() const { return n * c * h * w; }
  bool operator==(const Extent& other) const {
    return n == other.n && c == other.c && h == other.h && w == other.w &&
           features == other.features && sequence == other.sequence;
  }
};

// "(8, 64, 56, 56)"
std::string text(const Extent& extent);

// Where a value lies: channels last, its pixels `pixel` floats apart, from `offset` floats into a
// buffer on. A value may be a range of the channels of what is in a buffer.
struct Place {
  int buffer = -1;
  int64_t offset = 0;
  int64_t pixel = 0;
};

// The memory of a call: where each buffer begins.
class Memory {
 public:
  explicit Memory(std::vector<float*> buffers) : buffers_(std::move(buffers)) {}

  float* at(const Place& place) const {
    return place.buffer < 0 ? nullptr : buffers_[place.buffer] + place.offset;
  }

 private:
  std::vector<float*> buffers_;
};

// parallel(n, body) calls body(i) for every i < n, on any threads, and returns when all are done.
using Parallel = std::function<void(int64_t, const std::function<void(int64_t)>&)>;

// One that has no other threads.
struct Alone {
  template <class Body>
  void operator()(int64_t n, const Body& body) const {
    for (int64_t i = 0; i < n; ++i) body(i);
  }
};

class Step {
 public:
  virtual ~Step() = default;
  virtual void run(const Memory& memory, unsigned char* scratch,
                   const Parallel& parallel) const = 0;

  std::string line;    // of the program
  std::string kernel;  // its name
  double seconds = 0;  // predicted
  int threads = 1;
  int64_t scratch_bytes = 0;
};

template <class Op>
class KernelStep final : public Step {
 public:
  using Kernel = KernelOf<Op, float>;
  using Shape = typename Op::Shape;
  using Operands = typename Op::template Operands<float>;
  using Bind = std::function<void(const Memory&, Operands*)>;

  // `operands` holds what is the same in every call; bind() fills in the rest.
  KernelStep(const Kernel& chosen, const Shape& shape, const Plan& plan, const Operands& operands,
             PackedBytes packed, int num_threads, Bind bind)
      : chosen_(&chosen),
        shape_(shape),
        plan_(plan),
        operands_(operands),
        packed_(std::move(packed)),
        bind_(std::move(bind)) {
    const Cost cost = chosen.cost(shape, num_threads);
    kernel = chosen.name;
    seconds = cost.seconds - (packed_ == nullptr ? 0 : cost.packing);
    threads = num_threads;
    scratch_bytes = running_scratch_bytes(plan, num_threads);
  }

  void run(const Memory& memory, unsigned char* scratch, const Parallel& parallel) const override {
    Operands operands = operands_;
    bind_(memory, &operands);
    run_planned(*chosen_, shape_, plan_, operands, packed_.get(), threads, scratch, parallel);
  }

 private:
  const Kernel* chosen_;
  Shape shape_;
  Plan plan_;
  Operands operands_;
  PackedBytes packed_;
  Bind bind_;
};

}  // namespace plan
}  // namespace cnnext
