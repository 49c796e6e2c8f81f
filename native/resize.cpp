// The weighted sums of `drrn.core.resize` as a Python module, `drrn.core._resize`: the same bits as NumPy's.
//
// Products are rounded before they are added, in the order of the taps: the compiler must not contract them.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>

namespace nb = nanobind;

namespace {

using Planes = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Index = nb::ndarray<const std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Weight = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Sums = nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

// The sums of each plane have `rows` x `columns`, and the indices are of `length` samples.
void check(const Index& index, const Weight& weight, const Sums& sums, std::size_t planes, std::size_t rows,
           std::size_t columns, std::size_t length) {
    if (index.shape(0) != weight.shape(0) || index.shape(1) != weight.shape(1))
        throw std::invalid_argument("an index and a weight for each tap");
    if (sums.shape(0) != planes || sums.shape(1) != rows || sums.shape(2) != columns)
        throw std::invalid_argument("the sums have another shape");
    const std::int64_t* const all = index.data();
    if (std::any_of(all, all + index.size(), [&](std::int64_t each) { return each < 0 || each >= std::int64_t(length); }))
        throw std::invalid_argument("an index is out of range");
}

// sums[r] = weight[r, 0] * x[index[r, 0]] + weight[r, 1] * x[index[r, 1]] + ..., for rows of each plane.
void weighted_rows(const Planes& x, const Index& index, const Weight& weight, Sums sums) {
    const std::size_t planes = x.shape(0), height = x.shape(1), width = x.shape(2);
    const std::size_t rows = index.shape(0), taps = index.shape(1);
    check(index, weight, sums, planes, rows, width, height);
    nb::gil_scoped_release release;
    for (std::size_t plane = 0; plane < planes; ++plane)
        for (std::size_t row = 0; row < rows; ++row) {
            float* const sum = sums.data() + (plane * rows + row) * width;
            std::fill_n(sum, width, 0.0f);
            for (std::size_t tap = 0; tap < taps; ++tap) {
                const float* const from = x.data() + (plane * height + index.data()[row * taps + tap]) * width;
                const float factor = weight.data()[row * taps + tap];
                for (std::size_t column = 0; column < width; ++column) sum[column] += from[column] * factor;
            }
        }
}

template <std::size_t fixed>
void sum_columns(const float* from, float* sum, std::size_t columns, std::size_t any, const std::int64_t* index,
                 const float* weight) {
    const std::size_t taps = fixed ? fixed : any;
    for (std::size_t column = 0; column < columns; ++column, index += taps, weight += taps) {
        float total = 0.0f;
        for (std::size_t tap = 0; tap < taps; ++tap) total += from[index[tap]] * weight[tap];
        sum[column] = total;
    }
}

// The same for columns: sums[:, c] = weight[c, 0] * x[:, index[c, 0]] + ...
void weighted_columns(const Planes& x, const Index& index, const Weight& weight, Sums sums) {
    const std::size_t rows = x.shape(0) * x.shape(1), width = x.shape(2);
    const std::size_t columns = index.shape(0), taps = index.shape(1);
    check(index, weight, sums, x.shape(0), x.shape(1), columns, width);
    nb::gil_scoped_release release;
    const auto sum = taps == 4 ? sum_columns<4> : sum_columns<0>;
    for (std::size_t row = 0; row < rows; ++row)
        sum(x.data() + row * width, sums.data() + row * columns, columns, taps, index.data(), weight.data());
}

}  // namespace

NB_MODULE(_resize, module) {
    module.def("weighted_rows", &weighted_rows, nb::arg("x"), nb::arg("index"), nb::arg("weight"), nb::arg("sums"));
    module.def("weighted_columns", &weighted_columns, nb::arg("x"), nb::arg("index"), nb::arg("weight"), nb::arg("sums"));
}
