// A network ready to run.
#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "buffer.h"
#include "kernels.h"
#include "pool.h"

namespace drrn {

// A layer: relu(scale * x + shift), a zero-padded 3x3 convolution, + bias, + the kept features if it `adds`.
struct Plan {
    std::size_t in = 0, out = 0;
    const float* scale = nullptr;   // (in)
    const float* shift = nullptr;   // (in)
    const float* kernel = nullptr;  // (out, in, 3, 3); layers that share a kernel have the same address
    const float* bias = nullptr;    // (out)
    bool replicates = false;        // replicate its input beyond the border; only the first layer can
    bool adds = false;
    Keeps keeps = Keeps::nothing;
};

// The kernels that this CPU can run, fastest first.
std::vector<const Kernels*> kernels_here();

// The one of `kernels_here()` of this name, or the first if it is empty. Throws std::invalid_argument.
const Kernels* kernels_named(const std::string& name);

// `count`, rounded up to a multiple of `step`.
inline std::size_t full(std::size_t count, std::size_t step) { return (count + step - 1) / step * step; }

// Throws std::invalid_argument with `law` unless it is kept.
inline void require(bool kept, const char* law) {
    if (!kept) throw std::invalid_argument(law);
}

// Maximum number of columns of a layer's input carried over from one piece to the next.
constexpr std::size_t kCarried = kTile + 1;

// Sizes for an image of some width: buffers in floats, the rest in the stated unit.
struct Sizes {
    std::size_t cells;    // in a row
    std::size_t across;   // tiles in a row
    std::size_t padded;   // cells in a row of features, including zeros left and right
    std::size_t piece;    // tiles across that all layers process before the next piece
    std::size_t wide;     // cells in a row of `features`
    std::size_t rows;     // rows of cells in a band
    std::size_t ring;     // rows of ilr pixels held
    std::size_t ilr;      // (channels, ring, width)
    std::size_t entered;  // (rows + 2, padded, channels in): input of the first layer
    std::size_t left;     // (rows, padded, channels out): output of the last layer
    std::size_t features; // (rows + 2, wide, widest): input and output of a layer
    std::size_t carried;  // (layers, 2, padded, widest): last rows of the previous band
    std::size_t columns;  // (layers, rows, kCarried, widest): last columns of the previous piece
    std::size_t kept;     // (rows + lag, padded, widest)
    std::size_t scratch;  // (threads, scratch)
};

class Network {
   public:
    // Copies and transforms everything `plans` point to.
    // kernels: the name of one of `kernels_here`; empty takes the first.
    // piece_bytes: size of the features that a layer processes at once, per thread; results do not depend on it.
    // Throws std::invalid_argument if the layers do not fit together, and std::bad_alloc.
    Network(const std::vector<Plan>& plans, std::size_t channels, std::size_t unshuffle, bool global_residual,
            std::size_t threads, const std::string& kernels, std::size_t piece_bytes = std::size_t{256} << 10);

    const Kernels& kernels() const { return *kernels_; }
    std::size_t threads() const { return pool_->threads(); }
    std::size_t channels() const { return channels_; }
    // Bytes that a `Stream` of this width needs.
    std::size_t memory(std::size_t width) const;

   private:
    friend class Stream;

    const float* keep(std::vector<float> values);
    const float* transformed(const Plan& plan);
    std::size_t rows(std::size_t across) const;
    std::size_t piece(std::size_t across) const;
    Sizes sizes(std::size_t width) const;

    const Kernels* kernels_;
    std::size_t channels_, unshuffle_, piece_bytes_;
    bool global_residual_, replicates_;
    std::vector<Layer> layers_;
    const float* first_scale_;  // of the first layer's input, (channels * unshuffle^2)
    const float* first_shift_;
    std::size_t widest_ = 0;   // channels of a row of features, padded
    std::size_t lag_ = 0;      // rows between the first layer that keeps and the last that adds
    std::size_t scratch_ = 0;  // floats that a thread needs
    std::vector<Buffer> memory_;
    std::vector<std::pair<const float*, const float*>> transforms_;
    std::unique_ptr<Pool, PoolDeleter> pool_;
};

}  // namespace drrn
