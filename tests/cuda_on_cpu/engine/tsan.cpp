// SPDX-License-Identifier: BSD-3-Clause
// What GCC's -fsanitize=thread calls: before every access to memory that may be shared, and instead
// of every atomic operation. Calls of memcpy and its like are not announced (Clang's are).
#include <cstddef>
#include <cstdint>

#include "memory.h"

using cuda_on_cpu::memory;

#define CUDA_ON_CPU_ACCESS(function, bytes, alignment, write)                              \
  void __tsan_##function(void* pointer) {                                                  \
    memory.check(                                                                          \
        {reinterpret_cast<uintptr_t>(pointer), bytes, write, __builtin_return_address(0)}, \
        alignment);                                                                        \
  }
#define CUDA_ON_CPU_ACCESSES(bytes)                          \
  CUDA_ON_CPU_ACCESS(read##bytes, bytes, bytes, false)       \
  CUDA_ON_CPU_ACCESS(write##bytes, bytes, bytes, true)       \
  CUDA_ON_CPU_ACCESS(unaligned_read##bytes, bytes, 1, false) \
  CUDA_ON_CPU_ACCESS(unaligned_write##bytes, bytes, 1, true)

// The kernels do no atomic operations, but the host code beside them may.
#define CUDA_ON_CPU_UPDATE(bits, name)                                                             \
  uint##bits##_t __tsan_atomic##bits##_##name(volatile void* pointer, uint##bits##_t value, int) { \
    return __atomic_##name(static_cast<volatile uint##bits##_t*>(pointer), value,                  \
                           __ATOMIC_SEQ_CST);                                                      \
  }
#define CUDA_ON_CPU_COMPARE_EXCHANGE(bits, name, weak)                                       \
  bool __tsan_atomic##bits##_compare_exchange_##name(volatile void* pointer, void* expected, \
                                                     uint##bits##_t value, int, int) {       \
    return __atomic_compare_exchange_n(static_cast<volatile uint##bits##_t*>(pointer),       \
                                       static_cast<uint##bits##_t*>(expected), value, weak,  \
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                  \
  }
#define CUDA_ON_CPU_ATOMICS(bits)                                                              \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile void* pointer, int) {               \
    return __atomic_load_n(static_cast<const volatile uint##bits##_t*>(pointer),               \
                           __ATOMIC_SEQ_CST);                                                  \
  }                                                                                            \
  void __tsan_atomic##bits##_store(volatile void* pointer, uint##bits##_t value, int) {        \
    __atomic_store_n(static_cast<volatile uint##bits##_t*>(pointer), value, __ATOMIC_SEQ_CST); \
  }                                                                                            \
  uint##bits##_t __tsan_atomic##bits##_exchange(volatile void* pointer, uint##bits##_t value,  \
                                                int) {                                         \
    return __atomic_exchange_n(static_cast<volatile uint##bits##_t*>(pointer), value,          \
                               __ATOMIC_SEQ_CST);                                              \
  }                                                                                            \
  CUDA_ON_CPU_UPDATE(bits, fetch_add)                                                          \
  CUDA_ON_CPU_UPDATE(bits, fetch_sub)                                                          \
  CUDA_ON_CPU_UPDATE(bits, fetch_and)                                                          \
  CUDA_ON_CPU_UPDATE(bits, fetch_or)                                                           \
  CUDA_ON_CPU_UPDATE(bits, fetch_xor)                                                          \
  CUDA_ON_CPU_UPDATE(bits, fetch_nand)                                                         \
  CUDA_ON_CPU_COMPARE_EXCHANGE(bits, strong, false)                                            \
  CUDA_ON_CPU_COMPARE_EXCHANGE(bits, weak, true)

extern "C" {

CUDA_ON_CPU_ACCESSES(1)
CUDA_ON_CPU_ACCESSES(2)
CUDA_ON_CPU_ACCESSES(4)
CUDA_ON_CPU_ACCESSES(8)
CUDA_ON_CPU_ACCESSES(16)

void __tsan_read_range(void* pointer, size_t bytes) {
  memory.check({reinterpret_cast<uintptr_t>(pointer), bytes, false, __builtin_return_address(0)},
               1);
}

void __tsan_write_range(void* pointer, size_t bytes) {
  memory.check({reinterpret_cast<uintptr_t>(pointer), bytes, true, __builtin_return_address(0)}, 1);
}

void __tsan_vptr_update(void** pointer, void*) {
  memory.check(
      {reinterpret_cast<uintptr_t>(pointer), sizeof(void*), true, __builtin_return_address(0)},
      alignof(void*));
}

CUDA_ON_CPU_ATOMICS(8)
CUDA_ON_CPU_ATOMICS(16)
CUDA_ON_CPU_ATOMICS(32)
CUDA_ON_CPU_ATOMICS(64)
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

}  // extern "C"
