// The kernels, with GCC's and Clang's vectors of LANES floats. A file that includes this first defines:
//   ISA      the namespace and the displayed name
//   LANES    floats in a vector
//   PANEL    vectors in the widest panel of output channels
//   SUMS     vectors of sums that fit into registers beside a panel's row and a broadcast value
//   RUNS     an expression: whether this CPU can run the kernels
// The standard library must not be used here: its inline functions would be compiled for a CPU other than the running
// one, and the linker keeps an arbitrary copy.

#include "kernels.h"

// Before a loop of few steps, so that its arrays become registers.
#define DRRN_UNROLL _Pragma("GCC unroll 16")

namespace drrn::ISA {
namespace {

typedef float Vector __attribute__((vector_size(LANES * 4)));
using Size = std::size_t;

inline __attribute__((always_inline)) Vector load(const float* from) {
    return *reinterpret_cast<const Vector*>(from);
}
inline __attribute__((always_inline)) void store(float* to, Vector value) { *reinterpret_cast<Vector*>(to) = value; }
// NaN stays NaN, to be detected at the end.
inline __attribute__((always_inline)) Vector relu(Vector x) { return Vector{} > x ? Vector{} : x; }

// B^T of the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity, in place.
inline __attribute__((always_inline)) void spread(Vector& a, Vector& b, Vector& c, Vector& d, Vector& e, Vector& f,
                                                  Vector& g, Vector& h) {
    const Vector first = a - g + 5.25f * (e - c), last = h - b + 5.25f * (d - f);
    const Vector even1 = c + g - 4.25f * e, odd1 = b + f - 4.25f * d;
    const Vector even2 = g + 0.25f * c - 1.25f * e, odd2 = 0.5f * b - 2.5f * d + 2 * f;
    const Vector even3 = g + 4 * c - 5 * e, odd3 = 2 * b - 2.5f * d + 0.5f * f;
    a = first, b = even1 + odd1, c = even1 - odd1, d = even2 + odd2, e = even2 - odd2, f = even3 + odd3, g = even3 - odd3;
    h = last;
}

// A^T of the same points.
inline __attribute__((always_inline)) void gather(Vector a, Vector b, Vector c, Vector d, Vector e, Vector f, Vector g,
                                                  Vector h, Vector (&o)[kTile]) {
    const Vector even1 = b + c, odd1 = b - c, even2 = d + e, odd2 = d - e, even3 = f + g, odd3 = f - g;
    o[0] = a + even1 + even2 + even3, o[1] = odd1 + 2 * odd2 + 0.5f * odd3;
    o[2] = even1 + 4 * even2 + 0.25f * even3, o[3] = odd1 + 8 * odd2 + 0.125f * odd3;
    o[4] = even1 + 16 * even2 + 0.0625f * even3, o[5] = odd1 + 32 * odd2 + 0.03125f * odd3 + h;
}

// A of the same points, the transpose of what `gather` computes.
inline __attribute__((always_inline)) void scatter(const Vector (&o)[kTile], Vector (&to)[kSide]) {
    const Vector even1 = o[0] + o[2] + o[4], odd1 = o[1] + o[3] + o[5];
    const Vector even2 = o[0] + 4 * o[2] + 16 * o[4], odd2 = 2 * o[1] + 8 * o[3] + 32 * o[5];
    const Vector even3 = o[0] + 0.25f * o[2] + 0.0625f * o[4], odd3 = 0.5f * o[1] + 0.125f * o[3] + 0.03125f * o[5];
    to[0] = o[0], to[1] = even1 + odd1, to[2] = even1 - odd1, to[3] = even2 + odd2, to[4] = even2 - odd2;
    to[5] = even3 + odd3, to[6] = even3 - odd3, to[7] = o[5];
}

// Transform a tile's pixels of all channels to row `tile` of the planes.
void transform_tile(const Job& job, Size down, Size across, Size tile, float* spreads, Size plane) {
    const Size full = job.layer->in_full;
    const float* rows[kSide];
    for (Size i = 0; i < kSide; ++i) rows[i] = job.in[kTile * down + i] + (kTile * across - job.in_from) * full;
    for (Size c = 0; c < full; c += LANES) {
        Vector d[kSide][kSide];
        for (Size i = 0; i < kSide; ++i) {
            for (Size j = 0; j < kSide; ++j) d[i][j] = load(rows[i] + j * full + c);
            spread(d[i][0], d[i][1], d[i][2], d[i][3], d[i][4], d[i][5], d[i][6], d[i][7]);
        }
        float* to = spreads + tile * full + c;
        for (Size j = 0; j < kSide; ++j) {
            spread(d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j], d[6][j], d[7][j]);
            for (Size i = 0; i < kSide; ++i) {
                float* const at = to + (kSide * i + j) * plane;
                store(at, d[i][j]);
                __builtin_prefetch(at + LANES, 1);  // the next vector's place, which has left the caches since the last batch
            }
        }
    }
}

// ROWS rows of a (rows, depth) times a panel (depth, COLUMNS vectors). Each sum runs over `depth` in order, regardless of
// ROWS: a tile's result does not depend on how tiles are divided among threads. Meanwhile the vectors behind `next` are
// fetched into L2, one a step; beyond the end of the kernel that does nothing.
template <Size ROWS, Size COLUMNS>
void multiply(const float* a, Size stride, const float* panel, Size depth, float* to, Size to_stride,
              const float* next) {
    Vector sums[ROWS][COLUMNS];
    DRRN_UNROLL for (Size i = 0; i < ROWS; ++i)
        DRRN_UNROLL for (Size j = 0; j < COLUMNS; ++j) sums[i][j] = a[i * stride] * load(panel + j * LANES);
    for (Size k = 1; k < depth; ++k) {
        panel += COLUMNS * LANES, next += LANES;
        __builtin_prefetch(next, 0, 2);
        DRRN_UNROLL for (Size i = 0; i < ROWS; ++i)
            DRRN_UNROLL for (Size j = 0; j < COLUMNS; ++j) sums[i][j] += a[i * stride + k] * load(panel + j * LANES);
    }
    DRRN_UNROLL for (Size i = 0; i < ROWS; ++i)
        DRRN_UNROLL for (Size j = 0; j < COLUMNS; ++j) store(to + i * to_stride + j * LANES, sums[i][j]);
}

template <Size ROWS, Size COLUMNS>
void multiply_rest(Size rows, const float* a, Size stride, const float* panel, Size depth, float* to, Size to_stride,
                   const float* next) {
    if constexpr (ROWS > 0) {
        if (rows == ROWS)
            multiply<ROWS, COLUMNS>(a, stride, panel, depth, to, to_stride, next);
        else
            multiply_rest<ROWS - 1, COLUMNS>(rows, a, stride, panel, depth, to, to_stride, next);
    }
}

template <Size COLUMNS>
void multiply_all(Size rows, const float* a, Size stride, const float* panel, Size depth, float* to, Size to_stride) {
    constexpr Size ROWS = SUMS / COLUMNS < 12 ? SUMS / COLUMNS : 12;
    const float* next = panel + depth * COLUMNS * LANES;  // the next plane's panel, and what follows
    Size i = 0;
    for (; i + ROWS <= rows; i += ROWS, next += depth * LANES)
        multiply<ROWS, COLUMNS>(a + i * stride, stride, panel, depth, to + i * to_stride, to_stride, next);
    multiply_rest<ROWS - 1, COLUMNS>(rows - i, a + i * stride, stride, panel, depth, to + i * to_stride, to_stride, next);
}

// Transform a row of the products to a tile of `channels` channels, starting at `from`.
template <bool ADDS, bool KEEPS, bool LAST>
void finish_tile(const Job& job, Size down, Size across, const float* products, Size plane, Size from, Size channels) {
    const Layer& layer = *job.layer;
    const Size rest = job.width - kTile * across, columns = rest < kTile ? rest : kTile, full = layer.out_full;
    for (Size c = 0; c < channels; c += LANES) {
        Vector m[kTile][kSide];
        for (Size j = 0; j < kSide; ++j) {
            Vector o[kTile];
            const float* p = products + c + j * plane;
            const Size row = kSide * plane;
            gather(load(p), load(p + row), load(p + 2 * row), load(p + 3 * row), load(p + 4 * row), load(p + 5 * row),
                   load(p + 6 * row), load(p + 7 * row), o);
            for (Size i = 0; i < kTile; ++i) m[i][j] = o[i];
        }
        const Vector bias = load(layer.bias + from + c);
        Vector scale{}, shift{};
        if constexpr (!LAST) scale = load(layer.scale + from + c), shift = load(layer.shift + from + c);
        for (Size i = 0; i < kTile; ++i) {
            const std::ptrdiff_t row = kTile * down + i;
            if (row < job.first || row >= job.last) continue;
            Vector o[kTile];
            gather(m[i][0], m[i][1], m[i][2], m[i][3], m[i][4], m[i][5], m[i][6], m[i][7], o);
            const Size at = kTile * across + 1;  // a column of zeros comes first
            float* const kept = job.kept[row] + at * full + from + c;
            float* const out = job.out[row] + (at - job.out_from) * full + from + c;
            const auto put = [&](Size j) __attribute__((always_inline)) {
                Vector x = o[j] + bias;
                if constexpr (ADDS) x += load(kept + j * full);
                if constexpr (KEEPS) store(kept + j * full, layer.keeps == Keeps::rectified ? relu(x) : x);
                if constexpr (!LAST) x = relu(scale * x + shift);
                store(out + j * full, x);
            };
            if (columns == kTile)
                put(0), put(1), put(2), put(3), put(4), put(5);
            else
                for (Size j = 0; j < columns; ++j) put(j);
        }
    }
}

using Finish = void (*)(const Job&, Size, Size, const float*, Size, Size, Size);

Finish finish_of(const Layer& layer) {
    const bool keeps = layer.keeps != Keeps::nothing;
    if (!layer.scale) return layer.adds ? finish_tile<true, false, true> : finish_tile<false, false, true>;
    if (layer.adds) return keeps ? finish_tile<true, true, false> : finish_tile<true, false, false>;
    return keeps ? finish_tile<false, true, false> : finish_tile<false, false, false>;
}

void tiles(const Job& job, Size first, Size last, float* scratch) {
    const Layer& layer = *job.layer;
    const Size top = static_cast<Size>(job.first) / kTile, row = job.end - job.begin;
    const Size in_plane = kTiles * layer.in_full + kGap;
    float* const products = scratch + kPlanes * in_plane;
    const Finish finish = finish_of(layer);
    for (; first < last; first += kTiles) {
        const Size count = last - first < kTiles ? last - first : kTiles;
        for (Size t = 0; t < count; ++t)
            transform_tile(job, top + (first + t) / row, job.begin + (first + t) % row, t, scratch, in_plane);
        const float* panel = layer.kernel;
        for (Size from = 0; from < layer.out_full;) {
            const Size left = (layer.out_full - from) / LANES, vectors = left < PANEL ? left : PANEL;
            const Size columns = vectors * LANES, plane = kTiles * columns + kGap;
            for (Size p = 0; p < kPlanes; ++p, panel += layer.in * columns) {
                const float* a = scratch + p * in_plane;
                float* to = products + p * plane;
                switch (vectors) {
                    case 1: multiply_all<1>(count, a, layer.in_full, panel, layer.in, to, columns); break;
                    case 2: multiply_all<2>(count, a, layer.in_full, panel, layer.in, to, columns); break;
#if PANEL > 2
                    case 3: multiply_all<3>(count, a, layer.in_full, panel, layer.in, to, columns); break;
                    case 4: multiply_all<4>(count, a, layer.in_full, panel, layer.in, to, columns); break;
#endif
                }
            }
            for (Size t = 0; t < count; ++t)
                finish(job, top + (first + t) / row, job.begin + (first + t) % row, products + t * columns, plane,
                       from, columns);
            from += columns;
        }
    }
}

// Transform a tile of the result's gradient to row `tile` of the planes: the transpose of what `finish_tile` does.
void scatter_tile(const float* const* rows, Size at, Size full, Size tile, float* planes, Size plane) {
    for (Size c = 0; c < full; c += LANES) {
        Vector m[kTile][kSide];
        for (Size i = 0; i < kTile; ++i) {
            Vector o[kTile];
            for (Size j = 0; j < kTile; ++j) o[j] = load(rows[i] + (at + j) * full + c);
            scatter(o, m[i]);
        }
        float* const to = planes + tile * full + c;
        for (Size j = 0; j < kSide; ++j) {
            Vector o[kTile], d[kSide];
            for (Size i = 0; i < kTile; ++i) o[i] = m[i][j];
            scatter(o, d);
            for (Size i = 0; i < kSide; ++i) store(to + (kSide * i + j) * plane, d[i]);
        }
    }
}

// Add to `to` ROWS columns of a (depth, ...), transposed, times COLUMNS vectors of b (depth, ...).
template <Size ROWS, Size COLUMNS>
void accumulate(const float* a, Size a_stride, const float* b, Size b_stride, Size depth, float* to, Size to_stride) {
    Vector sums[ROWS][COLUMNS];
    DRRN_UNROLL for (Size i = 0; i < ROWS; ++i)
        DRRN_UNROLL for (Size j = 0; j < COLUMNS; ++j) sums[i][j] = load(to + i * to_stride + j * LANES);
    for (Size k = 0; k < depth; ++k, a += a_stride, b += b_stride)
        DRRN_UNROLL for (Size i = 0; i < ROWS; ++i)
            DRRN_UNROLL for (Size j = 0; j < COLUMNS; ++j) sums[i][j] += a[i] * load(b + j * LANES);
    DRRN_UNROLL for (Size i = 0; i < ROWS; ++i)
        DRRN_UNROLL for (Size j = 0; j < COLUMNS; ++j) store(to + i * to_stride + j * LANES, sums[i][j]);
}

template <Size COLUMNS>
void accumulate_all(Size rows, const float* a, Size a_stride, const float* b, Size b_stride, Size depth, float* to,
                    Size to_stride) {
    constexpr Size ROWS = SUMS / COLUMNS < 8 ? SUMS / COLUMNS : 8;
    Size i = 0;
    for (; i + ROWS <= rows; i += ROWS)
        accumulate<ROWS, COLUMNS>(a + i, a_stride, b, b_stride, depth, to + i * to_stride, to_stride);
    for (; i < rows; ++i) accumulate<1, COLUMNS>(a + i, a_stride, b, b_stride, depth, to + i * to_stride, to_stride);
}

void gradients(const Job& job, Size first, Size last, float* scratch, float* sums) {
    const Layer& layer = *job.layer;
    const Size row = job.end - job.begin, in = layer.in_full, out = layer.out_full;
    const Size in_plane = kTiles * in + kGap, out_plane = kTiles * out + kGap;
    float* const scattered = scratch + kPlanes * in_plane;
    for (; first < last; first += kTiles) {
        const Size count = last - first < kTiles ? last - first : kTiles;
        for (Size t = 0; t < count; ++t) {
            const Size down = (first + t) / row, across = job.begin + (first + t) % row;
            transform_tile(job, down, across, t, scratch, in_plane);
            scatter_tile(job.out + kTile * down, kTile * across + 1 - job.out_from, out, t, scattered, out_plane);
        }
        for (Size p = 0; p < kPlanes; ++p) {
            const float* a = scratch + p * in_plane;
            for (Size from = 0; from < out;) {
                const Size left = (out - from) / LANES, vectors = left < PANEL ? left : PANEL;
                const float* b = scattered + p * out_plane + from;
                float* to = sums + p * in * out + from;
                switch (vectors) {
                    case 1: accumulate_all<1>(in, a, in, b, out, count, to, out); break;
                    case 2: accumulate_all<2>(in, a, in, b, out, count, to, out); break;
#if PANEL > 2
                    case 3: accumulate_all<3>(in, a, in, b, out, count, to, out); break;
                    case 4: accumulate_all<4>(in, a, in, b, out, count, to, out); break;
#endif
                }
                from += vectors * LANES;
            }
        }
    }
}

bool runs_here() { return RUNS; }

}  // namespace
}  // namespace drrn::ISA

#define DRRN_STRING(x) #x
#define DRRN_NAME(x) DRRN_STRING(x)
