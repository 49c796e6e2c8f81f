#include "network.h"

#include <algorithm>
#include <stdexcept>

namespace drrn {
namespace {

// Winograd's G of the points 0, 1, -1, 2, -2 and infinity.
constexpr double kKernel[6][3] = {{1. / 4, 0, 0},           {-1. / 6, -1. / 6, -1. / 6}, {-1. / 6, 1. / 6, -1. / 6},
                                  {1. / 24, 1. / 12, 1. / 6}, {1. / 24, -1. / 12, 1. / 6}, {0, 0, 1}};

// Bytes of features that a band may have: with what a layer takes, makes and adds they still lie in the cache.
constexpr std::size_t kBand = std::size_t{4} << 20;

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
                 std::size_t threads, const std::string& kernels)
    : kernels_(nullptr), channels_(channels), unshuffle_(unshuffle), global_residual_(global_residual), replicates_(false) {
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

// G g G^T in double precision, as panels of columns: panel by panel of output channels, then the 36 planes, then the
// input channels. Units that share a kernel share what it becomes.
const float* Network::transformed(const Plan& plan) {
    for (const auto& [given, made] : transforms_)
        if (given == plan.kernel) return made;
    const std::size_t out_full = full(plan.out, kernels_->lanes);
    memory_.push_back(zeros(36 * plan.in * out_full));
    float* const made = memory_.back().get();
    for (std::size_t out = 0; out < plan.out; ++out) {
        const std::size_t from = out / kernels_->panel_lanes * kernels_->panel_lanes;
        const std::size_t columns = std::min(kernels_->panel_lanes, out_full - from);
        float* const panel = made + 36 * plan.in * from + (out - from);
        for (std::size_t in = 0; in < plan.in; ++in) {
            const float* const kernel = plan.kernel + (out * plan.in + in) * 9;
            double half[6][3];
            for (int i = 0; i < 6; ++i)
                for (int j = 0; j < 3; ++j)
                    half[i][j] = kKernel[i][0] * kernel[j] + kKernel[i][1] * kernel[3 + j] + kKernel[i][2] * kernel[6 + j];
            for (std::size_t i = 0; i < 6; ++i)
                for (std::size_t j = 0; j < 6; ++j) {
                    const double value = half[i][0] * kKernel[j][0] + half[i][1] * kKernel[j][1] + half[i][2] * kKernel[j][2];
                    panel[((6 * i + j) * plan.in + in) * columns] = static_cast<float>(value);
                }
        }
    }
    transforms_.emplace_back(plan.kernel, made);
    return made;
}

// Rows of cells in a band: a multiple of the 4 that a tile writes, and no more than the cache holds.
std::size_t Network::rows(std::size_t width) const {
    const std::size_t row = (full(width, unshuffle_) / unshuffle_ + 6) * widest_ * sizeof(float);
    return std::clamp<std::size_t>(kBand / row / 4 * 4, 8, 32);
}

std::size_t Network::memory(std::size_t width) const {
    const std::size_t padded = full(full(width, unshuffle_) / unshuffle_, 4) + 2, rows = this->rows(width);
    const std::size_t features = (3 * rows + lag_ + 2 * layers_.size()) * padded * widest_;
    const std::size_t ilr = channels_ * (2 * rows + layers_.size()) * unshuffle_ * width;
    return sizeof(float) * (features + ilr + pool_->threads() * scratch_);
}

Stream::Stream(std::shared_ptr<const Network> network, std::size_t width) : network_(std::move(network)), width_(width) {
    require(width >= 1 && width <= std::size_t{1} << 30, "a width of 1 to 2^30");
    const Network& net = *network_;
    cells_ = full(width, net.unshuffle_) / net.unshuffle_;
    across_ = full(cells_, 4) / 4;
    padded_ = 4 * across_ + 2;
    rows_ = net.rows(width);
    ring_ = (2 * rows_ + net.layers_.size()) * net.unshuffle_;
    ilr_ = zeros(net.channels_ * ring_ * width_);
    for (Buffer& features : features_) features = zeros(rows_ * padded_ * net.widest_);
    carried_ = zeros(net.layers_.size() * 2 * padded_ * net.widest_);
    kept_ = zeros((rows_ + net.lag_) * padded_ * net.widest_);
    scratch_ = zeros(net.pool_->threads() * net.scratch_);
}

float* Stream::ilr(std::size_t channel, std::size_t row) const {
    return ilr_.get() + (channel * ring_ + row % ring_) * width_;
}

// Row `index` of features; a row begins every `padded * widest`, and takes `padded * channels` of it.
float* Stream::row_of(const Buffer& rows, std::size_t index) const {
    return rows.get() + index * padded_ * network_->widest_;
}

// Rows of pixels that are finished after so many bands, if the picture does not end before.
std::size_t Stream::finished_after(std::size_t bands) const {
    const std::size_t cells = bands * rows_, lag = network_->layers_.size();
    return cells > lag ? (cells - lag) * network_->unshuffle_ : 0;
}

std::size_t Stream::ready(std::size_t count) const {
    return finished_after((pushed_ + count) / (rows_ * network_->unshuffle_)) - finished_;
}

void Stream::push(const float* rows, std::size_t count, std::size_t stride, float* sr, std::size_t sr_stride,
                  const Cancelled& cancelled) {
    require(height_ == kUnknown, "no rows after the last");
    std::size_t given = 0;
    const std::size_t band_rows = rows_ * network_->unshuffle_;
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

void Stream::band(float* sr, std::size_t sr_stride, std::size_t& given, const Cancelled& cancelled) {
    const Network& net = *network_;
    const Row rows = static_cast<Row>(rows_);
    Row first = static_cast<Row>(bands_ * rows_);  // the picture's row, in cells, that a layer's new input begins with
    const std::size_t ring = rows_ + net.lag_;
    std::vector<const float*> in(rows_ + 2);
    std::vector<float*> out(rows_), kept(rows_);
    enter(first);
    for (std::size_t index = 0; index < net.layers_.size(); ++index) {
        if (cancelled && cancelled()) throw Stopped();
        const Layer& layer = net.layers_[index];
        const Buffer &from = features_[index % 2], &to = features_[1 - index % 2];
        for (std::size_t i = 0; i < 2; ++i) in[i] = row_of(carried_, 2 * index + i);
        for (std::size_t i = 0; i < rows_; ++i) in[i + 2] = row_of(from, i), out[i] = row_of(to, i);
        --first;  // and now that its result begins with
        Job job{&layer, in.data(), out.data(), kept.data(), 0, 0, cells_, across_};
        job.first = std::clamp<Row>(-first, 0, rows), job.last = std::clamp<Row>(height_ - first, job.first, rows);
        for (Row i = 0; i < rows; ++i) {
            kept[i] = row_of(kept_, static_cast<std::size_t>(first + i + static_cast<Row>(ring)) % ring);
            // zeros around the picture: another layer's row may have lain here, with fewer channels a pixel
            if (i < job.first || i >= job.last) {
                std::fill_n(out[i], padded_ * layer.out_full, 0.f);
            } else {
                std::fill_n(out[i], layer.out_full, 0.f);
                std::fill_n(out[i] + (1 + cells_) * layer.out_full, (padded_ - 1 - cells_) * layer.out_full, 0.f);
            }
        }
        if (job.first < job.last) {
            const std::size_t tiles = across_ * (full(job.last, 4) / 4 - job.first / 4);
            const std::size_t threads = net.pool_->threads();
            // as many parts as fill the threads evenly
            const std::size_t parts = full((tiles + kTiles - 1) / kTiles, std::min(threads, tiles));
            net.pool_->run(parts, [&](std::size_t part, std::size_t thread) {
                net.kernels_->tiles(job, part * tiles / parts, (part + 1) * tiles / parts,
                                    scratch_.get() + thread * net.scratch_);
            });
        }
        for (std::size_t i = 0; i < 2; ++i)
            std::copy_n(in[rows_ + i], padded_ * layer.in_full, row_of(carried_, 2 * index + i));
    }
    ++bands_;
    leave(first, sr, sr_stride, given);
}

// The rows of cells from `first` on, rectified, as the first layer takes them.
void Stream::enter(Row first) {
    const Network& net = *network_;
    const std::size_t cell = net.unshuffle_, full = net.layers_[0].in_full;
    net.pool_->run(rows_, [&](std::size_t i, std::size_t) {
        float* const to = row_of(features_[0], i);
        std::fill_n(to, padded_ * full, 0.f);
        Row row = first + static_cast<Row>(i);
        if (row == height_ && net.replicates_) --row;
        if (row >= height_) return;
        for (std::size_t channel = 0; channel < net.channels_; ++channel)
            for (std::size_t y = 0; y < cell; ++y) {
                // the last row and column are repeated until they fill a cell
                const std::size_t pixels = std::min(static_cast<std::size_t>(row) * cell + y, pushed_ - 1);
                const float* const from = ilr(channel, pixels);
                for (std::size_t x = 0; x < cells_ * cell; ++x) {
                    const std::size_t at = (channel * cell + y) * cell + x % cell;
                    const float value = net.first_scale_[at] * from[std::min(x, width_ - 1)] + net.first_shift_[at];
                    to[(1 + x / cell) * full + at] = 0 > value ? 0 : value;
                }
            }
        if (net.replicates_) {
            std::copy_n(to + full, full, to);
            std::copy_n(to + cells_ * full, full, to + (cells_ + 1) * full);
        }
    });
    if (net.replicates_ && first == 0) std::copy_n(row_of(features_[0], 0), padded_ * full, row_of(carried_, 1));
}

// The last layer's rows from `first` on become rows of sr.
void Stream::leave(Row first, float* sr, std::size_t sr_stride, std::size_t& given) {
    const Network& net = *network_;
    const std::size_t cell = net.unshuffle_, full = net.layers_.back().out_full;
    const Buffer& features = features_[net.layers_.size() % 2];
    const std::size_t until = std::min(finished_after(bands_), pushed_), begin = finished_;
    if (until <= begin) return;
    net.pool_->run(until - begin, [&](std::size_t i, std::size_t) {
        const std::size_t row = begin + i;
        const float* const from = row_of(features, static_cast<std::size_t>(static_cast<Row>(row / cell) - first)) + full;
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
