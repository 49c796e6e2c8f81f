// 3x3 convolutions of a batch of feature maps, and their gradients, for training.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "buffer.h"
#include "kernels.h"
#include "pool.h"

namespace drrn {

// The sizes of feature maps with interleaved channels, before (in) and after (out) a convolution.
struct Batch {
    std::size_t images, height, width, in, out;
};

// Zero-padded convolutions by Winograd's F(6x6, 3x3). Channels are multiples of `lanes`; arrays are contiguous, and
// aligned to a vector. Concurrent calls wait for each other.
class Convolutions {
   public:
    Convolutions(std::size_t threads, const std::string& kernels);

    const Kernels& kernels() const { return *kernels_; }

    // y (..., out): the convolution of x (..., in), plus bias (out). kernel: transformed, as `Layer::kernel`.
    void run(const Batch& batch, const float* x, const float* kernel, const float* bias, float* y);

    // sums (kPlanes, in, out): the gradient for the transformed kernel, from x and the gradient for y. Its last bits
    // depend on the number of threads.
    void gradients(const Batch& batch, const float* x, const float* dy, float* sums);

   private:
    void reserve(std::size_t floats);

    const Kernels* kernels_;
    std::unique_ptr<Pool, PoolDeleter> pool_;
    std::mutex mutex_;             // of the scratch
    std::vector<Buffer> scratch_;  // one a thread
    std::size_t floats_ = 0;       // in each
};

}  // namespace drrn
