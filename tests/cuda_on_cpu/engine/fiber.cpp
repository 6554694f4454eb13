// SPDX-License-Identifier: BSD-3-Clause
#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace cuda_on_cpu {

const Stacks stacks;

Stacks::Stacks()
    : stride_(kStackBytes + sysconf(_SC_PAGESIZE)), bytes_(kMaxFibers * stride_), begin_(0) {
  void* const memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  begin_ = reinterpret_cast<uintptr_t>(memory);
  for (int i = 0; i < kMaxFibers; ++i) {
    mprotect(static_cast<unsigned char*>(memory) + i * stride_, stride_ - kStackBytes, PROT_NONE);
  }
}

Stacks::~Stacks() { munmap(reinterpret_cast<void*>(begin_), bytes_); }

#ifdef CUDA_ON_CPU_UCONTEXT

void prepare_fiber(int fiber, void (*main)(), Context& context) {
  getcontext(&context);
  context.uc_stack.ss_sp = reinterpret_cast<void*>(stacks.begin(fiber));
  context.uc_stack.ss_size = kStackBytes;
  context.uc_link = nullptr;
  makecontext(&context, main, 0);
}

void switch_context(Context& from, Context& to) { swapcontext(&from, &to); }

#else

// Pushes the registers that a callee preserves, leaves the stack for the other, and pops them.
extern "C" void cuda_on_cpu_switch(void** from, void* to);
asm(R"(
.text
.hidden cuda_on_cpu_switch
.globl cuda_on_cpu_switch
.type cuda_on_cpu_switch, @function
cuda_on_cpu_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size cuda_on_cpu_switch, .-cuda_on_cpu_switch
)");

void prepare_fiber(int fiber, void (*main)(), Context& context) {
  constexpr int kPushedRegisters = 6;
  void** stack = reinterpret_cast<void**>(stacks.begin(fiber) + kStackBytes);
  *--stack = nullptr;  // as if `main` had been called: its return address, at 16 n + 8
  *--stack = reinterpret_cast<void*>(main);
  for (int i = 0; i < kPushedRegisters; ++i) *--stack = nullptr;
  context.stack_pointer = stack;
}

void switch_context(Context& from, Context& to) {
  cuda_on_cpu_switch(&from.stack_pointer, to.stack_pointer);
}

#endif

}  // namespace cuda_on_cpu
