// SPDX-License-Identifier: BSD-3-Clause
// Which instruction sets this build knows, this machine has, and this process may use.
#pragma once

#include <cstdint>

#ifndef CNNEXT_X86  // 0 for a build as on other processors
#if defined(__x86_64__) || defined(_M_X64)
#define CNNEXT_X86 1
#else
#define CNNEXT_X86 0
#endif
#endif

// A function of a header that ISA files include must leave no out-of-line copy behind: the linker
// could keep the AVX-512 copy for the whole library. Hence always_inline, in every build type. In
// CUDA sources it is for both sides.
#if defined(__CUDACC__)
#define CNNEXT_INLINE __host__ __device__ __forceinline__
#else
#define CNNEXT_INLINE __attribute__((always_inline)) inline
#endif

// Unrolls a loop that a compiler would leave as it is; not with sanitizers, whose checks of every
// access would take too long to compile.
#define CNNEXT_PRAGMA(text) _Pragma(#text)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CNNEXT_UNROLL(times)
#elif defined(__clang__)
#define CNNEXT_UNROLL(times) CNNEXT_PRAGMA(clang loop unroll_count(times))
#else
#define CNNEXT_UNROLL(times) CNNEXT_PRAGMA(GCC unroll times)
#endif

namespace cnnext {

// Ordered: a machine that has one has all before it.
enum class Isa : int { baseline, avx2, avx512 };
constexpr int kIsaCount = 3;

const char* isa_name(Isa isa);

// The best of what the processor, its operating system and this build offer.
Isa detected_isa();

// min(detected_isa(), the environment's CNNEXT_ISA, the cap set below). Throws std::runtime_error
// when CNNEXT_ISA names no ISA.
Isa active_isa();

// Lowers active_isa() from now on; "" takes the cap away. Throws on an unknown name.
void set_isa_cap(const char* name);

}  // namespace cnnext
