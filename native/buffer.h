// Aligned, zeroed memory that frees itself.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(_WIN32)
#include <malloc.h>
#endif

namespace drrn {

struct Free {
    void operator()(float* memory) const {
#if defined(_WIN32)
        _aligned_free(memory);
#else
        std::free(memory);
#endif
    }
};

using Buffer = std::unique_ptr<float[], Free>;

// `floats` zeros, aligned to a cache line; large buffers to 2 MB pages, if the system has them.
// Throws std::bad_alloc.
inline Buffer zeros(std::size_t floats) {
    constexpr std::size_t kLine = 64, kHuge = std::size_t{2} << 20;
    if (floats > (std::numeric_limits<std::size_t>::max() >> 1) / sizeof(float)) throw std::bad_alloc();
    const std::size_t wanted = floats * sizeof(float);
    const std::size_t alignment = wanted >= kHuge ? kHuge : kLine;
    const std::size_t bytes = (wanted + kLine) / kLine * kLine;
#if defined(_WIN32)
    void* memory = _aligned_malloc(bytes, alignment);
    if (!memory) throw std::bad_alloc();
#else
    void* memory = nullptr;
    if (posix_memalign(&memory, alignment, bytes)) throw std::bad_alloc();
#endif
#if defined(__linux__)
    if (wanted >= kHuge) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    std::memset(memory, 0, bytes);
    return Buffer(static_cast<float*>(memory));
}

}  // namespace drrn
