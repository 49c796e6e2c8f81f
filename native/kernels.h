// What a layer costs its time in: Winograd's F(4x4, 3x3) over tiles of a band, once for each kind of CPU.
//
// A tile is 4x4 pixels of the result, made from 6x6 pixels of the input. Rows are pixel by pixel with the channels
// inside; channels are filled with zeros to whole vectors, and a row has a column of zeros on the left and at least one
// on the right.
#pragma once

#include <cstddef>

namespace drrn {

enum class Keeps { nothing, result, rectified };

// Room beside what a row of tiles fills, so that the 36 planes of a tile do not meet in the same lines of the cache.
constexpr std::size_t kGap = 16;

// Tiles that are transformed together: the products of one plane are then a matrix product of this many rows.
constexpr std::size_t kTiles = 48;

// One layer, with its kernel transformed for a kind of CPU.
struct Layer {
    std::size_t in = 0, out = 0;      // channels
    std::size_t in_full, out_full;    // filled up to whole vectors
    const float* kernel = nullptr;    // (panels of out, 36, in, columns of the panel), see `panel`
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
    std::ptrdiff_t first, last;  // rows that lie in the picture; the others are left alone
    std::size_t width;           // of the picture
    std::size_t begin, end;      // tiles across, of those in a row
    std::size_t in_from, out_from;  // columns that rows of input and of result begin with; kept rows begin with 0
};

struct Kernels {
    const char* name;
    std::size_t lanes;       // channels in a vector
    std::size_t panel_lanes; // channels in the widest panel, a multiple of `lanes`
    bool (*runs_here)();
    // The tiles [first, last), counted along rows of `job.end - job.begin` from the row that holds `job.first`.
    // scratch: `scratch_floats` of the layer, aligned to 64 bytes.
    void (*tiles)(const Job& job, std::size_t first, std::size_t last, float* scratch);
};

inline std::size_t scratch_floats(const Layer& layer) {
    return 36 * (kTiles * layer.in_full + kGap) + 36 * (kTiles * layer.out_full + kGap);
}

extern const Kernels baseline_kernels;
#ifdef DRRN_X86
extern const Kernels avx2_kernels, avx512_kernels;
#endif

}  // namespace drrn
