// SPDX-License-Identifier: BSD-3-Clause
// Fibers: stacks of their own, and the switch from one to another. Assembly where there is some,
// else (or with CUDA_ON_CPU_UCONTEXT) what POSIX has, which costs a system call a switch.
#pragma once

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__) && !defined(CUDA_ON_CPU_UCONTEXT)
#define CUDA_ON_CPU_UCONTEXT
#endif
#ifdef CUDA_ON_CPU_UCONTEXT
#include <ucontext.h>
#endif

namespace cuda_on_cpu {

constexpr int kMaxFibers = 1024;
constexpr size_t kStackBytes = 64 * 1024;

// One stack for each fiber, with a page below it that may not be touched.
class Stacks {
 public:
  Stacks();
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;

  uintptr_t begin(int fiber) const { return begin_ + fiber * stride_ + stride_ - kStackBytes; }
  bool hold(uintptr_t address) const { return address - begin_ < bytes_; }

 private:
  size_t stride_, bytes_;
  uintptr_t begin_;
};

extern const Stacks stacks;

// Where a fiber, or the thread of the system that runs them, goes on.
#ifdef CUDA_ON_CPU_UCONTEXT
using Context = ucontext_t;
#else
struct Context {
  void* stack_pointer;
};
#endif

// `main`, which never returns, will run on the fiber's stack when it is first switched to.
void prepare_fiber(int fiber, void (*main)(), Context& context);
void switch_context(Context& from, Context& to);

}  // namespace cuda_on_cpu
