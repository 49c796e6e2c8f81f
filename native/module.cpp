// The engine as a Python module, `drrn.engines._native`; wrapped by `drrn.engines.native`.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <stdexcept>

#include "convolutions.h"
#include "network.h"
#include "stream.h"

namespace nb = nanobind;
using drrn::Batch;
using drrn::Convolutions;
using drrn::Keeps;
using drrn::Kernels;
using drrn::Network;
using drrn::Plan;
using drrn::Stopped;
using drrn::Stream;

namespace {

using Vector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Kernel = nb::ndarray<const float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Rows = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Planes = nb::ndarray<float, nb::numpy, nb::ndim<3>, nb::c_contig>;

Keeps keeps_of(const std::string& name) {
    if (name == "result") return Keeps::result;
    if (name == "rectified") return Keeps::rectified;
    if (name.empty()) return Keeps::nothing;
    throw std::invalid_argument("`keeps` is '', 'result' or 'rectified'");
}

std::shared_ptr<Network> make(nb::iterable layers, std::size_t channels, std::size_t unshuffle, bool global_residual,
                              std::size_t threads, const std::string& kernels) {
    std::vector<Plan> plans;
    std::vector<nb::object> alive;  // the arrays that the plans point into
    for (nb::handle layer : layers) {
        const auto held = [&](const char* name) { return alive.emplace_back(layer.attr(name)); };
        const auto scale = nb::cast<Vector>(held("scale"), false), shift = nb::cast<Vector>(held("shift"), false);
        const auto kernel = nb::cast<Kernel>(held("kernel"), false);
        const auto bias = nb::cast<Vector>(held("bias"), false);
        Plan plan;
        plan.out = kernel.shape(0), plan.in = kernel.shape(1);
        if (kernel.shape(2) != 3 || kernel.shape(3) != 3 || scale.shape(0) != plan.in || shift.shape(0) != plan.in ||
            bias.shape(0) != plan.out)
            throw std::invalid_argument("a layer's arrays do not fit together");
        plan.scale = scale.data(), plan.shift = shift.data(), plan.kernel = kernel.data(), plan.bias = bias.data();
        plan.replicates = nb::cast<bool>(layer.attr("replicates"));
        plan.adds = nb::cast<bool>(layer.attr("adds"));
        plan.keeps = keeps_of(nb::cast<std::string>(layer.attr("keeps")));
        plans.push_back(plan);
    }
    return std::make_shared<Network>(plans, channels, unshuffle, global_residual, threads, kernels);
}

// An array over memory that Python will own.
Planes planes(std::size_t channels, std::size_t rows, std::size_t width) {
    auto* const memory = new float[channels * rows * width];
    nb::capsule owner(memory, [](void* given) noexcept { delete[] static_cast<float*>(given); });
    return Planes(memory, {channels, rows, width}, owner);
}

// Run Python's signal handlers between layers; an exception they raise ends the band.
bool interrupted() {
    nb::gil_scoped_acquire gil;
    return PyErr_CheckSignals() != 0;
}

template <typename Work>
void without_gil(const Work& work) {
    try {
        nb::gil_scoped_release release;
        work();
    } catch (const Stopped&) {
        throw nb::python_error();
    }
}

Planes push(Stream& stream, const Rows& rows) {
    if (rows.shape(0) != stream.channels() || rows.shape(2) != stream.width())
        throw std::invalid_argument("rows of another picture");
    const std::size_t count = rows.shape(1), ready = stream.ready(count), width = stream.width();
    Planes sr = planes(stream.channels(), ready, width);
    without_gil([&] { stream.push(rows.data(), count, count * width, sr.data(), ready * width, interrupted); });
    return sr;
}

Planes finish(Stream& stream) {
    const std::size_t left = stream.left();
    Planes sr = planes(stream.channels(), left, stream.width());
    without_gil([&] { stream.finish(sr.data(), left * stream.width(), interrupted); });
    return sr;
}

using Features = nb::ndarray<const float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Result = nb::ndarray<float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Sums = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <typename Other>
Batch batch_of(const Convolutions& convolutions, const Features& x, const Other& y) {
    for (const std::size_t i : {0, 1, 2})
        if (x.shape(i) != y.shape(i) || !x.shape(i)) throw std::invalid_argument("batches of different shapes");
    const Batch batch{x.shape(0), x.shape(1), x.shape(2), x.shape(3), y.shape(3)};
    const std::size_t lanes = convolutions.kernels().lanes;
    if (!batch.in || !batch.out || batch.in % lanes || batch.out % lanes)
        throw std::invalid_argument("the channels do not fill vectors");
    return batch;
}

void require_aligned(const float* array) {
    if (reinterpret_cast<std::uintptr_t>(array) % 64) throw std::invalid_argument("an array that begins within a cache line");
}

void convolve(Convolutions& convolutions, const Features& x, const Vector& kernel, const Vector& bias,
              const Result& y) {
    const Batch batch = batch_of(convolutions, x, y);
    if (kernel.shape(0) != drrn::kPlanes * batch.in * batch.out || bias.shape(0) != batch.out)
        throw std::invalid_argument("a kernel of other channels");
    require_aligned(kernel.data()), require_aligned(bias.data()), require_aligned(y.data());
    nb::gil_scoped_release release;
    convolutions.run(batch, x.data(), kernel.data(), bias.data(), y.data());
}

void gradients(Convolutions& convolutions, const Features& x, const Features& dy, const Sums& sums) {
    const Batch batch = batch_of(convolutions, x, dy);
    if (sums.shape(0) != drrn::kPlanes * batch.in * batch.out) throw std::invalid_argument("sums of other channels");
    require_aligned(sums.data());
    nb::gil_scoped_release release;
    convolutions.gradients(batch, x.data(), dy.data(), sums.data());
}

}  // namespace

NB_MODULE(_native, module) {
    module.def("kernels", [] {
        std::vector<std::string> names;
        for (const Kernels* kernels : drrn::kernels_here()) names.emplace_back(kernels->name);
        return names;
    });
    nb::class_<Network>(module, "Network")
        .def(nb::new_(&make), nb::arg("layers"), nb::kw_only(), nb::arg("channels"), nb::arg("unshuffle"),
             nb::arg("global_residual"), nb::arg("threads"), nb::arg("kernels"))
        .def_prop_ro("kernels", [](const Network& network) { return std::string(network.kernels().name); })
        .def_prop_ro("threads", &Network::threads)
        .def("memory", &Network::memory, nb::arg("width"));
    nb::class_<Convolutions>(module, "Convolutions")
        .def(nb::init<std::size_t, const std::string&>(), nb::arg("threads"), nb::arg("kernels"))
        .def_prop_ro("panel", [](const Convolutions& made) { return made.kernels().panel_lanes; })
        .def("run", &convolve, nb::arg("x"), nb::arg("kernel"), nb::arg("bias"),
             nb::arg("y").noconvert())
        .def("gradients", &gradients, nb::arg("x"), nb::arg("dy"),
             nb::arg("sums").noconvert());
    nb::class_<Stream>(module, "Stream")
        .def("__init__", [](Stream* at, std::shared_ptr<Network> network, std::size_t width) {
            new (at) Stream(std::move(network), width);
        }, nb::arg("network"), nb::arg("width"))
        .def("push", &push, nb::arg("rows"))
        .def("finish", &finish);
}
