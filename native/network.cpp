#include "network.h"

#include <algorithm>

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

const Kernels* kernels_named(const std::string& name) {
    for (const Kernels* candidate : kernels_here())
        if (name.empty() || name == candidate->name) return candidate;
    throw std::invalid_argument("there are no such kernels here");
}

Network::Network(const std::vector<Plan>& plans, std::size_t channels, std::size_t unshuffle, bool global_residual,
                 std::size_t threads, const std::string& kernels, std::size_t piece_bytes)
    : kernels_(kernels_named(kernels)),
      channels_(channels),
      unshuffle_(unshuffle),
      piece_bytes_(piece_bytes),
      global_residual_(global_residual),
      replicates_(false) {
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

}  // namespace drrn
