#include "network.h"

#include <algorithm>
#include <stdexcept>

namespace drrn {
namespace {

// Winograd's G of the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity.
constexpr double kKernel[kSide][3] = {{1, 0, 0},
                                      {-2. / 9, -2. / 9, -2. / 9},
                                      {-2. / 9, 2. / 9, -2. / 9},
                                      {1. / 90, 1. / 45, 2. / 45},
                                      {1. / 90, -1. / 45, 2. / 45},
                                      {32. / 45, 16. / 45, 8. / 45},
                                      {32. / 45, -16. / 45, 8. / 45},
                                      {0, 0, 1}};

// Minimum number of tiles across in a piece, and range of rows in a band.
constexpr std::size_t kLeastPiece = 6, kLeastRows = 2 * kTile, kMostRows = 6 * kTile;

// Maximum number of columns of a layer's input carried over from one piece to the next.
constexpr std::size_t kCarried = kTile + 1;

std::size_t full(std::size_t count, std::size_t step) { return (count + step - 1) / step * step; }

void require(bool right, const char* law) {
    if (!right) throw std::invalid_argument(law);
}

}  // namespace

std::vector<const Kernels*> kernels_here() {
    std::vector<const Kernels*> found;
#ifdef DRRN_X86
    for (const Kernels* kernels : {&avx512_kernels, &avx2_kernels})
        if (kernels->runs_here()) found.push_back(kernels);
#endif
    found.push_back(&baseline_kernels);
    return found;
}

Network::Network(const std::vector<Plan>& plans, std::size_t channels, std::size_t unshuffle, bool global_residual,
                 std::size_t threads, const std::string& kernels, std::size_t piece_bytes)
    : kernels_(nullptr),
      channels_(channels),
      unshuffle_(unshuffle),
      piece_bytes_(piece_bytes),
      global_residual_(global_residual),
      replicates_(false) {
    for (const Kernels* candidate : kernels_here())
        if (!kernels_ && (kernels.empty() || kernels == candidate->name)) kernels_ = candidate;
    require(kernels_, "there are no such kernels here");
    require(channels >= 1 && unshuffle >= 1 && threads >= 1 && plans.size() >= 2, "a network of at least two layers");
    const std::size_t outside = channels * unshuffle * unshuffle;
    require(plans.front().in == outside && plans.back().out == outside, "the ends are as the picture");
    const Plan& last = plans.back();
    require(!last.adds && last.keeps == Keeps::nothing, "the last layer neither adds nor keeps");

    std::size_t keeping = 0, adding = 0, width = 0;
    for (std::size_t i = 0; i < plans.size(); ++i) {
        const Plan& plan = plans[i];
        require(i == 0 || plan.in == plans[i - 1].out, "each layer takes what the one before it makes");
        require(i == 0 || !plan.replicates, "the first layer alone continues its input beyond the border");
        Layer layer;
        layer.in = plan.in, layer.out = plan.out;
        layer.in_full = full(plan.in, kernels_->lanes), layer.out_full = full(plan.out, kernels_->lanes);
        const auto filled = [&](const float* values) {
            std::vector<float> copy(layer.out_full, 0.f);
            std::copy(values, values + layer.out, copy.begin());
            return keep(std::move(copy));
        };
        layer.kernel = transformed(plan);
        layer.bias = filled(plan.bias);
        if (i + 1 < plans.size()) layer.scale = filled(plans[i + 1].scale), layer.shift = filled(plans[i + 1].shift);
        layer.adds = plan.adds, layer.keeps = plan.keeps;
        if (plan.adds || plan.keeps != Keeps::nothing) {
            require(!width || plan.out == width, "what is kept and what it is added to have the same channels");
            require(!plan.adds || width, "something is kept before it is added");
            width = plan.out;
        }
        if (plan.keeps != Keeps::nothing && !keeping) keeping = i + 1;
        if (plan.adds) adding = i + 1;
        widest_ = std::max({widest_, layer.in_full, layer.out_full});
        scratch_ = std::max(scratch_, full(scratch_floats(layer), kGap));
        layers_.push_back(layer);
    }
    lag_ = adding ? adding - keeping : 0;
    first_scale_ = keep({plans[0].scale, plans[0].scale + outside});
    first_shift_ = keep({plans[0].shift, plans[0].shift + outside});
    replicates_ = plans[0].replicates;
    pool_.reset(new Pool(threads));
}

const float* Network::keep(std::vector<float> values) {
    memory_.push_back(zeros(values.size()));
    std::copy(values.begin(), values.end(), memory_.back().get());
    return memory_.back().get();
}

// G g G^T in double precision, as panels of columns: panel by panel of output channels, then the planes, then the
// input channels. Units that share a kernel share its transform.
const float* Network::transformed(const Plan& plan) {
    for (const auto& [given, made] : transforms_)
        if (given == plan.kernel) return made;
    const std::size_t out_full = full(plan.out, kernels_->lanes);
    memory_.push_back(zeros(kPlanes * plan.in * out_full));
    float* const made = memory_.back().get();
    for (std::size_t out = 0; out < plan.out; ++out) {
        const std::size_t from = out / kernels_->panel_lanes * kernels_->panel_lanes;
        const std::size_t columns = std::min(kernels_->panel_lanes, out_full - from);
        float* const panel = made + kPlanes * plan.in * from + (out - from);
        for (std::size_t in = 0; in < plan.in; ++in) {
            const float* const kernel = plan.kernel + (out * plan.in + in) * 9;
            double half[kSide][3];
            for (std::size_t i = 0; i < kSide; ++i)
                for (int j = 0; j < 3; ++j)
                    half[i][j] = kKernel[i][0] * kernel[j] + kKernel[i][1] * kernel[3 + j] + kKernel[i][2] * kernel[6 + j];
            for (std::size_t i = 0; i < kSide; ++i)
                for (std::size_t j = 0; j < kSide; ++j) {
                    const double value = half[i][0] * kKernel[j][0] + half[i][1] * kKernel[j][1] + half[i][2] * kKernel[j][2];
                    panel[((kSide * i + j) * plan.in + in) * columns] = static_cast<float>(value);
                }
        }
    }
    transforms_.emplace_back(plan.kernel, made);
    return made;
}

// Rows of cells in a band of `across` tiles: a multiple of those that a tile writes.
std::size_t Network::rows(std::size_t across) const {
    const std::size_t row = (kTile * across + kSide) * widest_ * sizeof(float);
    return std::clamp<std::size_t>(pool_->threads() * piece_bytes_ / row / kTile * kTile, kLeastRows, kMostRows);
}

// Tiles across that all layers process before the next piece: as many as keep a layer's input, output and kept features
// in the caches. All at once if few more remain: each layer of a piece starts a tile further left than the one before it.
std::size_t Network::piece(std::size_t across) const {
    const std::size_t tile = kLeastRows * kTile * widest_ * sizeof(float);
    const std::size_t wanted = std::max(pool_->threads() * piece_bytes_ / tile, kLeastPiece);
    return across <= wanted + layers_.size() ? across : wanted;
}

Sizes Network::sizes(std::size_t width) const {
    Sizes sizes;
    sizes.cells = full(width, unshuffle_) / unshuffle_;
    sizes.across = full(sizes.cells, kTile) / kTile;
    sizes.padded = kTile * sizes.across + 2;
    sizes.piece = piece(sizes.across);
    sizes.rows = rows(sizes.piece);
    sizes.wide = std::min(sizes.padded, kTile * (sizes.piece + layers_.size() + 1) + 2);
    sizes.ring = (2 * sizes.rows + layers_.size()) * unshuffle_;
    sizes.ilr = channels_ * sizes.ring * width;
    sizes.entered = (sizes.rows + 2) * sizes.padded * layers_.front().in_full;
    sizes.left = sizes.rows * sizes.padded * layers_.back().out_full;
    sizes.features = (sizes.rows + 2) * sizes.wide * widest_;
    sizes.carried = layers_.size() * 2 * sizes.padded * widest_;
    sizes.columns = layers_.size() * sizes.rows * kCarried * widest_;
    sizes.kept = (sizes.rows + lag_) * sizes.padded * widest_;
    sizes.scratch = pool_->threads() * scratch_;
    return sizes;
}

// Bands of a wider picture have fewer rows and may take less: this is what the most expensive takes of all that are no
// wider, so that it grows with the width.
std::size_t Network::memory(std::size_t width) const {
    const auto taken = [&](std::size_t across) {
        const Sizes s = sizes(std::min(width, kTile * across * unshuffle_));
        return s.ilr + s.entered + s.left + 2 * s.features + s.carried + s.columns + s.kept + s.scratch;
    };
    const std::size_t across = sizes(width).across;
    std::size_t most = taken(across);
    for (std::size_t narrower = across; narrower > 1;) {  // the widest with as many rows as that, and so on
        const std::size_t rows = this->rows(piece(narrower));
        if (rows == kMostRows) break;
        const std::size_t cells = pool_->threads() * piece_bytes_ / ((rows + kTile) * widest_ * sizeof(float));
        narrower = std::min(narrower - 1, cells > kTile + kSide ? (cells - kSide) / kTile : 1);
        most = std::max(most, taken(narrower));
    }
    return sizeof(float) * most;
}

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
