// Compares the engine to the naive reference: all kernels of this CPU, with various bands, pieces and threads. Its
// convolutions for training are compared to their gradients. Built with sanitizers, and for other CPUs under an emulator,
// where there is no Python. Exits with 1 on a difference.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "convolutions.h"
#include "sample.h"

namespace {

// A convolution is linear in its transformed kernel, so the products of result and dy have the same sum as those of kernel
// and gradient. Returns the difference of the two sums relative to the sum of magnitudes; 1 if threads change a result.
double convolve(const drrn::Kernels& kernels, std::mt19937& random) {
    const auto pick = [&](std::size_t low, std::size_t high) { return low + random() % (high - low + 1); };
    const auto noise = [&](std::size_t floats) {
        drrn::Buffer values = drrn::zeros(floats);
        for (std::size_t i = 0; i < floats; ++i) values[i] = std::uniform_real_distribution<float>(-1, 1)(random);
        return values;
    };
    const std::size_t lanes = kernels.lanes, panel = kernels.panel_lanes;
    const drrn::Batch batch{pick(1, 3), pick(1, 40), pick(1, 60), lanes * pick(1, 3), lanes * pick(1, 9)};
    const std::size_t pixels = batch.images * batch.height * batch.width, pairs = batch.in * batch.out;
    const auto x = noise(pixels * batch.in), dy = noise(pixels * batch.out), kernel = noise(drrn::kPlanes * pairs);
    const auto bias = drrn::zeros(batch.out), y = drrn::zeros(pixels * batch.out), again = drrn::zeros(pixels * batch.out);
    const auto sums = drrn::zeros(drrn::kPlanes * pairs);
    drrn::Convolutions alone(1, kernels.name), shared(pick(2, 4), kernels.name);
    alone.run(batch, x.get(), kernel.get(), bias.get(), y.get());
    shared.run(batch, x.get(), kernel.get(), bias.get(), again.get());
    shared.gradients(batch, x.get(), dy.get(), sums.get());
    if (!std::equal(y.get(), y.get() + pixels * batch.out, again.get())) return 1;
    double results = 0, gradients = 0, magnitudes = 0;
    for (std::size_t i = 0; i < pixels * batch.out; ++i) results += double{y[i]} * dy[i];
    for (std::size_t from = 0, at = 0; from < batch.out; from += panel)
        for (std::size_t row = 0; row < drrn::kPlanes * batch.in; ++row)
            for (std::size_t out = from; out < std::min(from + panel, batch.out); ++out, ++at) {
                const double product = double{kernel[at]} * sums[row * batch.out + out];
                gradients += product, magnitudes += std::abs(product);
            }
    return std::abs(results - gradients) / magnitudes;
}

}  // namespace

int main(int count, char** arguments) {
    const std::uint32_t rounds = count > 1 ? static_cast<std::uint32_t>(std::atoi(arguments[1])) : 40;
    double worst = 0;
    for (std::uint32_t round = 0; round < rounds; ++round) {
        std::mt19937 random(round);
        const auto pick = [&](std::size_t low, std::size_t high) { return low + random() % (high - low + 1); };
        drrn::Sample sample(round, pick(0, 1) ? 1 : 3, pick(1, 4), pick(1, 40),
                            static_cast<int>(pick(1, 2)), static_cast<int>(pick(0, 3)), static_cast<int>(pick(0, 3)),
                            pick(0, 1), pick(0, 1));
        const std::size_t height = pick(1, 70), columns = pick(1, 120), band = pick(1, height);
        const auto ilr = sample.noise(sample.channels * height * columns);
        const auto expected = sample.exactly(ilr, height, columns);
        for (const drrn::Kernels* kernels : drrn::kernels_here()) {
            const auto alone = sample.streamed(ilr, height, columns, 1, kernels->name, height, 1 << 20);
            double off = 0;
            for (std::size_t i = 0; i < alone.size(); ++i) off = std::max(off, std::abs(alone[i] - expected[i]));
            worst = std::max(worst, off);
            const bool same = alone == sample.streamed(ilr, height, columns, pick(2, 4), kernels->name, band, 1);
            if (!(off < 1e-4) || !same) {
                std::printf("round %u, %s: off by %g%s\n", round, kernels->name, off, same ? "" : ", and by its bands or pieces");
                return 1;
            }
            if (const double apart = convolve(*kernels, random); !(apart < 1e-5)) {
                std::printf("round %u, %s: a convolution and its gradient are %g apart\n", round, kernels->name, apart);
                return 1;
            }
        }
    }
    std::printf("%u networks with", rounds);
    for (const drrn::Kernels* kernels : drrn::kernels_here()) std::printf(" %s", kernels->name);
    std::printf(": off by %.2g at most\n", worst);
}
