// The hot loops: Winograd's F(6x6, 3x3) over tiles of a band, compiled for each kind of CPU.
//
// A tile is 6x6 pixels of the result, computed from 8x8 pixels of the input. Rows store pixels with interleaved
// channels, zero-padded to whole vectors; a row has one column of zeros on the left and at least one on the right.
#pragma once

#include <cstddef>

namespace drrn {

enum class Keeps { nothing, result, rectified };

// A tile of the result has kTile x kTile pixels; it is computed from kSide x kSide pixels of the input. Each of these
// kPlanes positions of a transformed tile is stored in a plane of its own.
constexpr std::size_t kTile = 6, kSide = kTile + 2, kPlanes = kSide * kSide;

// Padding after a row of tiles, so that the planes of a tile do not collide in the same cache lines.
constexpr std::size_t kGap = 16;

// Tiles transformed together: each plane's product is then a matrix product with this many rows. A layer's kernel is read
// once per kTiles tiles, from L3, because it fills most of L2.
constexpr std::size_t kTiles = 36;

// One layer, with its kernel transformed for a kind of CPU.
struct Layer {
    std::size_t in = 0, out = 0;      // channels
    std::size_t in_full, out_full;    // padded to whole vectors
    const float* kernel = nullptr;    // (panels of out, kPlanes, in, columns of the panel), see `panel`
    const float* bias = nullptr;      // (out_full)
    const float* scale = nullptr;     // (out_full): the next layer's input is relu(scale * x + shift);
    const float* shift = nullptr;     // null after the last layer, which is not rectified
    bool adds = false;
    Keeps keeps = Keeps::nothing;
};

// One layer on one band.
struct Job {
    const Layer* layer;
    const float* const* in;  // rows of input, two more than of the result
    float* const* out;       // rows of the result
    float* const* kept;      // rows of kept features
    std::ptrdiff_t first, last;  // rows inside the image; others are not written
    std::size_t width;           // of the image
    std::size_t begin, end;      // range of tiles within a row
    std::size_t in_from, out_from;  // first column of input and result rows; kept rows start at 0
};

struct Kernels {
    const char* name;
    std::size_t lanes;       // channels in a vector
    std::size_t panel_lanes; // channels in the widest panel, a multiple of `lanes`
    bool (*runs_here)();
    // The tiles [first, last), counted along rows of `job.end - job.begin` from the row that holds `job.first`.
    // scratch: `scratch_floats` of the layer, aligned to 64 bytes.
    void (*tiles)(const Job& job, std::size_t first, std::size_t last, float* scratch);
    // Add to sums, (kPlanes, in_full, out_full), the gradient for the transformed kernel that follows from `job.in` and
    // from the gradient for the result, `job.out`, whose rows go on with zeros to whole tiles; tiles and scratch as above.
    void (*gradients)(const Job& job, std::size_t first, std::size_t last, float* scratch, float* sums);
};

inline std::size_t scratch_floats(const Layer& layer) {
    return kPlanes * (kTiles * layer.in_full + kGap) + kPlanes * (kTiles * layer.out_full + kGap);
}

extern const Kernels baseline_kernels;
#ifdef DRRN_X86
extern const Kernels avx2_kernels, avx512_kernels;
#endif

}  // namespace drrn
