#include "convolutions.h"

#include <algorithm>

#include "network.h"

namespace drrn {
namespace {

Layer layer_of(const Batch& batch) {
    Layer layer;
    layer.in = layer.in_full = batch.in, layer.out = layer.out_full = batch.out;
    return layer;
}

// A batch divided into bands of whole rows of tiles, of about kTiles tiles.
struct Bands {
    const Batch& batch;
    const std::size_t across = full(batch.width, kTile) / kTile;
    const std::size_t down = full(batch.height, kTile) / kTile;
    const std::size_t tall = std::clamp<std::size_t>(kTiles / across, 1, down);  // tiles in a band's height
    const std::size_t each = (down + tall - 1) / tall;                           // bands of an image
    const std::size_t count = batch.images * each;

    std::size_t in_row() const { return (kTile * across + 2) * batch.in; }
    std::size_t out_row() const { return kTile * across * batch.out; }
    std::size_t in_floats() const { return full((kTile * tall + 2) * in_row(), kGap); }
    std::size_t out_floats() const { return kTile * tall * out_row(); }
};

struct Band {
    std::size_t image, top, rows, tiles;  // in pixels; tiles down

    Band(const Bands& bands, std::size_t index)
        : image(index / bands.each),
          top(index % bands.each * bands.tall * kTile),
          rows(std::min(bands.batch.height - top, bands.tall * kTile)),
          tiles(full(rows, kTile) / kTile) {}
};

// Copy `count` rows of an image from row `first` on, each after `left` pixels of zeros and followed by zeros to `stride`
// floats. Rows beyond the image are zeros. Returns where the rows begin.
std::vector<float*> pad(const float* image, const Batch& batch, std::size_t channels, std::ptrdiff_t first,
                        std::size_t count, std::size_t left, std::size_t stride, float* to) {
    const std::size_t row = batch.width * channels;
    std::vector<float*> rows(count);
    for (std::size_t i = 0; i < count; ++i, to += stride) {
        rows[i] = to;
        const std::ptrdiff_t y = first + static_cast<std::ptrdiff_t>(i);
        const bool inside = y >= 0 && y < static_cast<std::ptrdiff_t>(batch.height);
        float* const begin = std::fill_n(to, inside ? left * channels : stride, 0.f);
        if (inside) std::fill(std::copy_n(image + y * row, row, begin), to + stride, 0.f);
    }
    return rows;
}

std::vector<float*> pad_input(const Bands& bands, const Band& band, const float* x, float* to) {
    const Batch& batch = bands.batch;
    return pad(x + band.image * batch.height * batch.width * batch.in, batch, batch.in,
               static_cast<std::ptrdiff_t>(band.top) - 1, kTile * band.tiles + 2, 1, bands.in_row(), to);
}

}  // namespace

Convolutions::Convolutions(std::size_t threads, const std::string& kernels) : kernels_(kernels_named(kernels)) {
    require(threads >= 1, "there is at least one thread");
    pool_.reset(new Pool(threads));
}

void Convolutions::reserve(std::size_t floats) {
    if (floats <= floats_) return;
    scratch_.clear(), floats_ = 0;  // should memory run out
    for (std::size_t i = 0; i < pool_->threads(); ++i) scratch_.push_back(zeros(floats));
    floats_ = floats;
}

void Convolutions::run(const Batch& batch, const float* x, const float* kernel, const float* bias, float* y) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Bands bands{batch};
    Layer layer = layer_of(batch);
    layer.kernel = kernel, layer.bias = bias;
    const std::size_t scratch = full(scratch_floats(layer), kGap);
    reserve(scratch + bands.in_floats());
    pool_->run(bands.count, [&](std::size_t index, std::size_t thread) {
        const Band band(bands, index);
        float* const mine = scratch_[thread].get();
        const std::vector<float*> in = pad_input(bands, band, x, mine + scratch);
        std::vector<float*> out(kTile * band.tiles, y);  // rows beyond the image are not written
        for (std::size_t i = 0; i < band.rows; ++i)
            out[i] = y + (band.image * batch.height + band.top + i) * batch.width * batch.out;
        const Job job{&layer, in.data(), out.data(), out.data(), 0, static_cast<std::ptrdiff_t>(band.rows), batch.width,
                      0, bands.across, 0, 1};
        kernels_->tiles(job, 0, band.tiles * bands.across, mine);
    });
}

void Convolutions::gradients(const Batch& batch, const float* x, const float* dy, float* sums) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Bands bands{batch};
    const Layer layer = layer_of(batch);
    const std::size_t count = kPlanes * batch.in * batch.out, shares = std::min(pool_->threads(), bands.count);
    const std::size_t scratch = full(scratch_floats(layer), kGap), padded = scratch + bands.in_floats() + bands.out_floats();
    reserve(padded + count);
    // each share of the bands has its own sums: which thread adds them makes no difference
    const auto sum_of = [&](std::size_t share) { return share ? scratch_[share].get() + padded : sums; };
    pool_->run(shares, [&](std::size_t share, std::size_t thread) {
        float* const mine = scratch_[thread].get();
        std::fill_n(sum_of(share), count, 0.f);
        for (std::size_t i = share * bands.count / shares; i < (share + 1) * bands.count / shares; ++i) {
            const Band band(bands, i);
            const std::vector<float*> in = pad_input(bands, band, x, mine + scratch);
            const std::vector<float*> out =
                pad(dy + band.image * batch.height * batch.width * batch.out, batch, batch.out,
                    static_cast<std::ptrdiff_t>(band.top), kTile * band.tiles, 0, bands.out_row(),
                    mine + scratch + bands.in_floats());
            const Job job{&layer, in.data(), out.data(), nullptr, 0, 0, batch.width, 0, bands.across, 0, 1};
            kernels_->gradients(job, 0, band.tiles * bands.across, mine, sum_of(share));
        }
    });
    pool_->run(shares, [&](std::size_t part, std::size_t) {
        for (std::size_t share = 1; share < shares; ++share)
            for (std::size_t i = part * count / shares; i < (part + 1) * count / shares; ++i)
                sums[i] += sum_of(share)[i];
    });
}

}  // namespace drrn
