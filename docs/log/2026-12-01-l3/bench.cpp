// Seconds per megapixel of `base`'s network on noise of 1024x768, the least of three: bench KERNELS THREADS
// PIECE_KB. Linked with the engine of native/CMakeLists.txt, in which reads of the time stamp counter were added for the shares.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "../../../native/sample.h"

int main(int, char** arguments) {
    const std::size_t piece = static_cast<std::size_t>(std::atoi(arguments[3])) << 10;
    const drrn::Sample sample(1, 1, 2, 64, 3, 2, 1, true, true);
    const std::size_t height = 768, width = 1024, threads = static_cast<std::size_t>(std::atoi(arguments[2]));
    const auto ilr = drrn::Sample(sample).noise(height * width);
    double least = 1e9;
    for (int round = 0; round < 3; ++round) {
        const auto start = std::chrono::steady_clock::now();
        sample.streamed(ilr, height, width, threads, arguments[1], height, piece);
        least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::printf("%.3f\n", least / (height * width) * 1e6);
}
