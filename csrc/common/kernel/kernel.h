// SPDX-License-Identifier: BSD-3-Clause
// What a kernel is. A kernel is pure arithmetic on pointers: it owns no threads, allocates nothing
// and reports no errors. It runs in phases; a phase is a range of independent tasks, which the
// caller may split over threads in any contiguous way; a phase starts when the one before is done.
// All phases may be repeated in rounds, so that what one phase leaves for the next stays small.
#pragma once

#include <cstdint>

#include "common/kernel/isa.h"

namespace cnnext {

// Memory order of a 4-D activation: channels second (torch's default) or last.
enum class Layout : int { nchw, channels_last };

// Elements from one pixel to the next of an operand that is channels_last. It is given for one that
// is a range of the channels of a larger buffer, whose other channels are neither read nor written;
// 0 stands for that of a dense one.
CNNEXT_INLINE constexpr int64_t pixel_distance(int64_t given, int64_t channels) {
  return given == 0 ? channels : given;
}

// The direction of a kernel. `backward` is for operators that have one kernel for all gradients.
enum class Pass : int { forward, bwd_input, bwd_weight, backward };

constexpr int kMaxPhases = 4;

// Weights in the order in which a kernel reads them, made once for any number of calls. Those of
// equal order, columns and bytes are interchangeable, whichever kernel packed them; in the order of
// a gradient, if strides, paddings and dilations are equal, too.
struct PackFormat {
  const char* order = nullptr;  // null: the kernel reads weights as they lie in memory
  int64_t columns = 0;          // output channels side by side
  int64_t bytes = 0;
  int64_t tasks = 0;        // of packing, independent of each other
  int64_t chunk_bytes = 0;  // scratch private to a chunk of them
  bool optional = false;    // run() packs what it needs by itself where none are given
  bool complete = true;     // false: run() may nevertheless read the weights themselves

  bool exists() const { return order != nullptr; }
  bool operator==(const PackFormat& other) const {
    return __builtin_strcmp(order, other.order) == 0 && columns == other.columns &&
           bytes == other.bytes;
  }
};

// How a kernel wants to be run on one shape with a number of threads.
struct Plan {
  int n_phases = 1;
  int64_t rounds = 1;
  PackFormat weights;
  int64_t tasks[kMaxPhases] = {};
  int64_t shared_bytes = 0;  // scratch that all tasks of all phases see
  int64_t chunk_bytes = 0;   // scratch private to one chunk of tasks; contents do not survive it
  int64_t block[4] = {};     // the kernel's own choice of blocking, from plan() to run()
};

// A chunk of one phase, or of packing. All memory is aligned to 64 bytes; scratch is uninitialised.
struct Slice {
  int64_t round;
  int phase;
  int64_t begin, end;
  unsigned char* packed;  // weights, which pack() writes and run() reads; null for none
  unsigned char* shared;
  unsigned char* chunk;
};

// Predicted seconds of a call, infinite where the kernel does not apply. A cost function that tells
// no phases apart returns a plain number.
struct Cost {
  double seconds;
  double packing;             // the part that a call saves which finds its weights packed
  double phases[kMaxPhases];  // the other parts, each of all rounds

  CNNEXT_INLINE constexpr Cost(double all, double of_packing = 0, double second_phase = 0,
                               double third_phase = 0)
      : seconds(all),
        packing(of_packing),
        phases{all - of_packing - second_phase - third_phase, second_phase, third_phase} {}
};

// One line of a registry.
template <class Shape_, class Operands_>
struct Kernel {
  using Shape = Shape_;
  using Operands = Operands_;
  const char* name;
  Pass pass;
  Isa isa;
  Cost (*cost)(const Shape&, int threads);
  Plan (*plan)(const Shape&, int threads);
  void (*pack)(const Shape&, const Plan&, const Operands&, const Slice&);  // reads weights alone
  void (*run)(const Shape&, const Plan&, const Operands&, const Slice&);
};

// The list of a folder's kernels, kernels.inc, has one line a kernel, of one of these forms:
//
//   CNNEXT_REFERENCE(name, Op, pass, cost, Body)        the oracle: name_f32 and name_f64; Body
//                                                       names the type of the elements T
//   CNNEXT_KERNEL(name, Op, pass, cost, Body)           name_f32_<isa> for every ISA
//   CNNEXT_FMA_KERNEL(name, Op, pass, cost, Body)       but the baseline
//   CNNEXT_BASELINE_KERNEL(name, Op, pass, cost, Body)  for the baseline alone
//
// Op is the operator's trait (registry.h), cost<Isa> returns a Cost or seconds, and Body is a
// class with static plan() and run(), pack() if it packs weights, and a true kPools if it can store
// what a shape that is `pooled` asks for, to which no other kernel applies. register_kernels.inc
// makes the registry of the list; define_kernels.inc defines its kernels, in reference.cpp and in
// each
// <isa>.cpp. The order carries no meaning.
#if CNNEXT_X86
#define CNNEXT_FOR_FMA_ISAS(macro, ...) macro(avx2, __VA_ARGS__) macro(avx512, __VA_ARGS__)
#else
#define CNNEXT_FOR_FMA_ISAS(macro, ...)
#endif
#define CNNEXT_FOR_ISAS(macro, ...) \
  macro(baseline, __VA_ARGS__) CNNEXT_FOR_FMA_ISAS(macro, __VA_ARGS__)

// Declares, respectively defines from such a class, the kernel `name`.
#define CNNEXT_DECLARE_KERNEL(Shape, Operands, name)                               \
  extern const bool name##_pools;                                                  \
  Plan name##_plan(const Shape& shape, int threads);                               \
  void name##_pack(const Shape& shape, const Plan& plan, const Operands& operands, \
                   const Slice& slice);                                            \
  void name##_run(const Shape& shape, const Plan& plan, const Operands& operands,  \
                  const Slice& slice);

#define CNNEXT_DEFINE_KERNEL(Shape, Operands, name, ...)                                          \
  extern const bool name##_pools = pools<__VA_ARGS__>(0);                                         \
  Plan name##_plan(const Shape& shape, int threads) { return __VA_ARGS__::plan(shape, threads); } \
  void name##_pack(const Shape& shape, const Plan& plan, const Operands& operands,                \
                   const Slice& slice) {                                                          \
    pack_with<__VA_ARGS__>(0, shape, plan, operands, slice);                                      \
  }                                                                                               \
  void name##_run(const Shape& shape, const Plan& plan, const Operands& operands,                 \
                  const Slice& slice) {                                                           \
    __VA_ARGS__::run(shape, plan, operands, slice);                                               \
  }

namespace {

// Body::pack(), where a Body has one.
template <class Body, class... Call>
auto pack_with(int, const Call&... call) -> decltype(Body::pack(call...)) {
  return Body::pack(call...);
}
template <class Body, class... Call>
void pack_with(long, const Call&...) {}

// Body::kPools, where a Body has one.
template <class Body, bool kPools = Body::kPools>
constexpr bool pools(int) {
  return kPools;
}
template <class Body>
constexpr bool pools(long) {
  return false;
}

}  // namespace

CNNEXT_INLINE constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
CNNEXT_INLINE constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
CNNEXT_INLINE constexpr int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
CNNEXT_INLINE constexpr int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

// So many threads are not given more work for the sake of balance.
constexpr int kFewThreads = 2;

// Whether equal tasks leave more than a tenth of the threads' time unused, so that a phase should
// be shared out in another way.
CNNEXT_INLINE constexpr bool are_uneven(int64_t tasks, int threads) {
  return threads > kFewThreads && 10 * tasks < 9 * round_up(tasks, threads);
}

// Into how many parts, at least `min_parts`, each of `tasks` is divided, of so many units that may
// be apart, so that the busiest thread has least to do.
CNNEXT_INLINE constexpr int64_t even_parts(int64_t tasks, int64_t units, int threads,
                                           int64_t min_parts = 1) {
  int64_t best = min_parts;
  const auto busiest = [&](int64_t parts) {
    return ceil_div(tasks * parts, threads) * ceil_div(units, parts);
  };
  if (!are_uneven(tasks * best, threads)) return best;
  for (int64_t parts = min_parts + 1; parts <= units; ++parts) {
    if (busiest(parts) < busiest(best)) best = parts;
  }
  return best;
}

}  // namespace cnnext
