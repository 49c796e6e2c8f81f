// Compares the engine to the naive reference: all kernels of this CPU, with various bands, pieces and threads.
// Built with sanitizers, and for other CPUs under an emulator, where there is no Python. Exits with 1 on a difference.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "sample.h"

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
        }
    }
    std::printf("%u networks with", rounds);
    for (const drrn::Kernels* kernels : drrn::kernels_here()) std::printf(" %s", kernels->name);
    std::printf(": off by %.2g at most\n", worst);
}
