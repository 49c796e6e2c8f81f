// A network ready to run, and a picture that streams through it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "buffer.h"
#include "kernels.h"
#include "pool.h"

namespace drrn {

// A layer as it is given: relu(scale * x + shift), a zero-padded 3x3 convolution, + bias, + what is kept if it `adds`.
struct Plan {
    std::size_t in = 0, out = 0;
    const float* scale = nullptr;   // (in)
    const float* shift = nullptr;   // (in)
    const float* kernel = nullptr;  // (out, in, 3, 3); layers that share one give the same address
    const float* bias = nullptr;    // (out)
    bool replicates = false;        // beyond the border its input continues as it ends; the first layer alone can
    bool adds = false;
    Keeps keeps = Keeps::nothing;
};

// The kernels that this CPU runs, the fastest first.
std::vector<const Kernels*> kernels_here();

// What a picture of some width takes: buffers in floats, the rest in what is named.
struct Sizes {
    std::size_t cells;    // in a row
    std::size_t across;   // tiles in a row
    std::size_t padded;   // cells in a row of features, zeros left and right included
    std::size_t piece;    // tiles across that all layers work through before the next
    std::size_t wide;     // cells in a row of `features`
    std::size_t rows;     // rows of cells in a band
    std::size_t ring;     // rows of pixels of ilr that are held
    std::size_t ilr;      // (channels, ring, width)
    std::size_t entered;  // (rows + 2, padded, channels in): what the first layer takes
    std::size_t left;     // (rows, padded, channels out): what the last layer makes
    std::size_t features; // (rows + 2, wide, widest): what a layer takes, and what it makes
    std::size_t carried;  // (layers, 2, padded, widest): the last rows of the band before
    std::size_t columns;  // (layers, rows, kCarried, widest): the last columns of the piece before
    std::size_t kept;     // (rows + lag, padded, widest)
    std::size_t scratch;  // (threads, scratch)
};

class Network {
   public:
    // Copies and transforms all that `plans` point to.
    // kernels: one of `kernels_here` by its name; empty takes the first.
    // piece_bytes: of features that a layer works through at once, for each thread; no result depends on it.
    // Throws std::invalid_argument where the layers do not follow from each other, and std::bad_alloc.
    Network(const std::vector<Plan>& plans, std::size_t channels, std::size_t unshuffle, bool global_residual,
            std::size_t threads, const std::string& kernels, std::size_t piece_bytes = std::size_t{256} << 10);

    const Kernels& kernels() const { return *kernels_; }
    std::size_t threads() const { return pool_->threads(); }
    std::size_t channels() const { return channels_; }
    // Bytes that a `Stream` of this width takes.
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
    std::size_t widest_ = 0;   // channels of a row of features, filled up
    std::size_t lag_ = 0;      // rows between the first layer that keeps and the last that adds
    std::size_t scratch_ = 0;  // floats that a thread needs
    std::vector<Buffer> memory_;
    std::vector<std::pair<const float*, const float*>> transforms_;
    std::unique_ptr<Pool, PoolDeleter> pool_;
};

// Asked now and then whether to stop; may be empty.
using Cancelled = std::function<bool()>;

// What a stream throws when it was.
struct Stopped {};

// A picture that goes through a network in bands of rows, from the top down. Each layer lags a row behind the one
// before it and carries the last two rows of its input over to the next band, so that nothing is computed twice.
class Stream {
   public:
    // width: of the picture, at least 1.
    Stream(std::shared_ptr<const Network> network, std::size_t width);

    std::size_t channels() const { return network_->channels_; }
    std::size_t width() const { return width_; }

    // How many rows `push(count)` will give.
    std::size_t ready(std::size_t count) const;
    // The next `count` rows of ilr, and the rows of sr that are finished with them, as planes:
    // rows[channel * row_stride + row * width + column], and the same for `sr`.
    // `cancelled` is asked after each layer of a band; once true, this throws Stopped and the stream is of no use.
    void push(const float* rows, std::size_t count, std::size_t stride, float* sr, std::size_t sr_stride,
              const Cancelled& cancelled);
    // How many rows `finish` will give.
    std::size_t left() const { return pushed_ - finished_; }
    // There are no more rows: the rows of sr that are left.
    void finish(float* sr, std::size_t sr_stride, const Cancelled& cancelled);

   private:
    using Row = std::ptrdiff_t;
    static constexpr Row kUnknown = PTRDIFF_MAX / 2;

    float* ilr(std::size_t channel, std::size_t row) const;
    float* carried(std::size_t index, std::size_t row) const;
    void band(float* sr, std::size_t sr_stride, std::size_t& given, const Cancelled& cancelled);
    void enter(Row first);
    void leave(Row first, float* sr, std::size_t sr_stride, std::size_t& given);
    std::size_t finished_after(std::size_t bands) const;

    std::shared_ptr<const Network> network_;
    std::size_t width_;         // in pixels
    Sizes sizes_;
    Row height_ = kUnknown;     // in cells
    std::size_t pushed_ = 0, finished_ = 0, bands_ = 0;  // rows of pixels, and bands
    Buffer ilr_, entered_, features_[2], left_, carried_, columns_, kept_, scratch_;
};

}  // namespace drrn
