// The streaming of an image through a network.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "buffer.h"
#include "network.h"

namespace drrn {

// Called now and then to ask whether to stop; may be empty.
using Cancelled = std::function<bool()>;

// Thrown by a stream that was cancelled.
struct Stopped {};

// Streams an image through a network in bands of rows, from top to bottom. Each layer lags one row behind the one
// before it and carries the last two rows of its input over to the next band, so that nothing is computed twice.
class Stream {
   public:
    // width: of the image, at least 1.
    Stream(std::shared_ptr<const Network> network, std::size_t width);

    std::size_t channels() const { return network_->channels_; }
    std::size_t width() const { return width_; }

    // The number of rows that `push(count)` will return.
    std::size_t ready(std::size_t count) const;
    // Takes the next `count` rows of ilr and returns the rows of sr that they complete, as planes:
    // rows[channel * row_stride + row * width + column], and the same for `sr`.
    // `cancelled` is called after each layer of a band; if it returns true, this throws Stopped, and the stream is unusable.
    void push(const float* rows, std::size_t count, std::size_t stride, float* sr, std::size_t sr_stride,
              const Cancelled& cancelled);
    // The number of rows that `finish` will return.
    std::size_t left() const { return pushed_ - finished_; }
    // Ends the image, and returns the remaining rows of sr.
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
