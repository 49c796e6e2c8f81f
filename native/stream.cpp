#include "stream.h"

#include <algorithm>

namespace drrn {

Stream::Stream(std::shared_ptr<const Network> network, std::size_t width) : network_(std::move(network)), width_(width) {
    require(width >= 1 && width <= std::size_t{1} << 30, "a width of 1 to 2^30");
    sizes_ = network_->sizes(width);
    ilr_ = zeros(sizes_.ilr);
    entered_ = zeros(sizes_.entered);
    left_ = zeros(sizes_.left);
    for (Buffer& features : features_) features = zeros(sizes_.features);
    carried_ = zeros(sizes_.carried);
    columns_ = zeros(sizes_.columns);
    kept_ = zeros(sizes_.kept);
    scratch_ = zeros(sizes_.scratch);
}

float* Stream::ilr(std::size_t channel, std::size_t row) const {
    return ilr_.get() + (channel * sizes_.ring + row % sizes_.ring) * width_;
}

// Rows of pixels finished after so many bands, if the image does not end before.
std::size_t Stream::finished_after(std::size_t bands) const {
    const std::size_t cells = bands * sizes_.rows, lag = network_->layers_.size();
    return cells > lag ? (cells - lag) * network_->unshuffle_ : 0;
}

std::size_t Stream::ready(std::size_t count) const {
    return finished_after((pushed_ + count) / (sizes_.rows * network_->unshuffle_)) - finished_;
}

void Stream::push(const float* rows, std::size_t count, std::size_t stride, float* sr, std::size_t sr_stride,
                  const Cancelled& cancelled) {
    require(height_ == kUnknown, "no rows after the last");
    std::size_t given = 0;
    const std::size_t band_rows = sizes_.rows * network_->unshuffle_;
    while (count) {
        const std::size_t taken = std::min(count, (bands_ + 1) * band_rows - pushed_);
        for (std::size_t channel = 0; channel < network_->channels_; ++channel)
            for (std::size_t row = 0; row < taken; ++row) {
                const float* const from = rows + channel * stride + row * width_;
                std::copy(from, from + width_, ilr(channel, pushed_ + row));
            }
        pushed_ += taken, count -= taken, rows += taken * width_;
        if (pushed_ == (bands_ + 1) * band_rows) band(sr, sr_stride, given, cancelled);
    }
}

void Stream::finish(float* sr, std::size_t sr_stride, const Cancelled& cancelled) {
    require(height_ == kUnknown, "a picture ends once");
    height_ = static_cast<Row>(full(pushed_, network_->unshuffle_) / network_->unshuffle_);
    std::size_t given = 0;
    while (finished_ < pushed_) band(sr, sr_stride, given, cancelled);
}

// All layers on one band of rows, piece by piece from the left. A layer's tile reads a column of the tile on its right,
// so each layer stays a tile behind the one before it, and the columns in between, of all rows, are carried over to
// the next piece. Tiles have the same positions as without pieces, so results do not depend on pieces.
void Stream::band(float* sr, std::size_t sr_stride, std::size_t& given, const Cancelled& cancelled) {
    const Network& net = *network_;
    const std::size_t rows = sizes_.rows, across = sizes_.across, padded = sizes_.padded, ring = rows + net.lag_;
    const std::size_t count = net.layers_.size();
    const Row first = static_cast<Row>(bands_ * rows);  // the picture's row, in cells, that the band's input begins with
    enter(first);
    std::vector<std::size_t> done(count + 1);  // tiles across: that entered, and that each layer has done
    std::vector<const float*> in(rows + 2);
    std::vector<float*> out(rows), kept(rows);
    while (done[count] < across) {
        done[0] = std::min(done[0] + sizes_.piece, across);
        for (std::size_t index = 0; index < count; ++index) {
            if (cancelled && cancelled()) throw Stopped();
            const Layer& layer = net.layers_[index];
            const bool is_last = index + 1 == count;
            const std::size_t begin = done[index + 1], ready = done[index];
            const std::size_t end = ready == across ? across : std::max(begin, std::max<std::size_t>(ready, 1) - 1);
            // columns that begin the rows of input and output
            const std::size_t in_from = index ? kTile * begin : 0, out_from = is_last ? 0 : kTile * done[index + 2];
            const std::size_t in_row = index ? sizes_.wide * net.widest_ : padded * layer.in_full;
            const std::size_t out_row = is_last ? padded * layer.out_full : sizes_.wide * net.widest_;
            float* const from = index ? features_[index % 2].get() : entered_.get();
            float* const to = is_last ? left_.get() : features_[1 - index % 2].get() + 2 * out_row;
            float* const columns = columns_.get() + index * rows * kCarried * net.widest_;
            const Row top = first - static_cast<Row>(index) - 1;  // the picture's row that the result begins with
            Job job{&layer, in.data(), out.data(), kept.data(), 0, 0, sizes_.cells, begin, end, in_from, out_from};
            job.first = std::clamp<Row>(-top, 0, static_cast<Row>(rows));
            job.last = std::clamp<Row>(height_ - top, job.first, static_cast<Row>(rows));
            const std::size_t until = end == across ? padded : kTile * end + 1;  // columns that are finished
            for (std::size_t i = 0; i < rows + 2; ++i) in[i] = from + i * in_row;
            for (std::size_t i = 0; i < 2 && end > begin; ++i)
                std::copy_n(carried(index, i) + kTile * begin * layer.in_full,
                            (std::min(kTile * end + 2, padded) - kTile * begin) * layer.in_full,
                            from + i * in_row + (kTile * begin - in_from) * layer.in_full);
            for (std::size_t i = 0; i < rows; ++i) {
                const Row row = static_cast<Row>(i);
                out[i] = to + i * out_row;
                const std::size_t at_ring = static_cast<std::size_t>(top + row + static_cast<Row>(ring)) % ring;
                kept[i] = kept_.get() + at_ring * padded * net.widest_;
                float* const at = out[i] - out_from * layer.out_full;
                if (!begin)
                    std::fill_n(at, layer.out_full, 0.f);
                else if (!is_last)
                    std::copy_n(columns_.get() + ((index + 1) * rows + i) * kCarried * net.widest_,
                                (kTile * begin + 1 - out_from) * layer.out_full, out[i]);
                // zeros around the image: another layer's row may have been here
                const std::size_t zeros = row < job.first || row >= job.last ? kTile * begin + 1 : 1 + sizes_.cells;
                if (zeros < until) std::fill_n(at + zeros * layer.out_full, (until - zeros) * layer.out_full, 0.f);
            }
            if (job.first < job.last && begin < end) {
                const std::size_t tiles = (end - begin) * (full(job.last, kTile) / kTile - job.first / kTile);
                const std::size_t threads = net.pool_->threads();
                // enough parts to load the threads evenly
                const std::size_t parts = full((tiles + kTiles - 1) / kTiles, std::min(threads, tiles));
                net.pool_->run(parts, [&](std::size_t part, std::size_t thread) {
                    net.kernels_->tiles(job, part * tiles / parts, (part + 1) * tiles / parts,
                                        scratch_.get() + thread * net.scratch_);
                });
            }
            for (std::size_t i = 0; i < 2; ++i)
                std::copy_n(in[rows + i] + (kTile * begin - in_from) * layer.in_full,
                            ((end == across ? padded : kTile * end) - kTile * begin) * layer.in_full,
                            carried(index, i) + kTile * begin * layer.in_full);
            for (std::size_t i = 0; i < rows && index && ready < across; ++i)
                std::copy_n(in[i + 2] + kTile * (end - begin) * layer.in_full, (kTile * (ready - end) + 1) * layer.in_full,
                            columns + i * kCarried * net.widest_);
            done[index + 1] = end;
        }
    }
    ++bands_;
    leave(first - static_cast<Row>(count), sr, sr_stride, given);
}

// Row 0 or 1 of the two that layer `index` uses of the previous band.
float* Stream::carried(std::size_t index, std::size_t row) const {
    return carried_.get() + (2 * index + row) * sizes_.padded * network_->widest_;
}

// The rows of cells from `first` on, rectified, as input of the first layer.
void Stream::enter(Row first) {
    const Network& net = *network_;
    const std::size_t cell = net.unshuffle_, full = net.layers_[0].in_full;
    net.pool_->run(sizes_.rows, [&](std::size_t i, std::size_t) {
        float* const to = entered_.get() + (i + 2) * sizes_.padded * full;
        std::fill_n(to, sizes_.padded * full, 0.f);
        Row row = first + static_cast<Row>(i);
        if (row == height_ && net.replicates_) --row;
        if (row >= height_) return;
        for (std::size_t channel = 0; channel < net.channels_; ++channel)
            for (std::size_t y = 0; y < cell; ++y) {
                // the last row and column are repeated until they fill a cell
                const std::size_t pixels = std::min(static_cast<std::size_t>(row) * cell + y, pushed_ - 1);
                const float* const from = ilr(channel, pixels);
                for (std::size_t x = 0; x < sizes_.cells * cell; ++x) {
                    const std::size_t at = (channel * cell + y) * cell + x % cell;
                    const float value = net.first_scale_[at] * from[std::min(x, width_ - 1)] + net.first_shift_[at];
                    to[(1 + x / cell) * full + at] = 0 > value ? 0 : value;
                }
            }
        if (net.replicates_) {
            std::copy_n(to + full, full, to);
            std::copy_n(to + sizes_.cells * full, full, to + (sizes_.cells + 1) * full);
        }
    });
    if (net.replicates_ && first == 0)
        std::copy_n(entered_.get() + 2 * sizes_.padded * full, sizes_.padded * full, carried(0, 1));
}

// Convert the last layer's rows from `first` on to rows of sr.
void Stream::leave(Row first, float* sr, std::size_t sr_stride, std::size_t& given) {
    const Network& net = *network_;
    const std::size_t cell = net.unshuffle_, full = net.layers_.back().out_full;
    const std::size_t until = std::min(finished_after(bands_), pushed_), begin = finished_;
    if (until <= begin) return;
    net.pool_->run(until - begin, [&](std::size_t i, std::size_t) {
        const std::size_t row = begin + i;
        const std::size_t at = static_cast<std::size_t>(static_cast<Row>(row / cell) - first);
        const float* const from = left_.get() + (at * sizes_.padded + 1) * full;
        for (std::size_t channel = 0; channel < net.channels_; ++channel) {
            const float* const base = ilr(channel, row);
            float* const to = sr + channel * sr_stride + (given + i) * width_;
            const float* const detail = from + (channel * cell + row % cell) * cell;
            for (std::size_t x = 0; x < width_; ++x)
                to[x] = detail[x / cell * full + x % cell] + (net.global_residual_ ? base[x] : 0.f);
        }
    });
    given += until - begin;
    finished_ = until;
}

}  // namespace drrn
