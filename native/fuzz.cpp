// Target of libFuzzer: any network, size and division into bands. The result must not depend on the bands, and no access
// may be out of bounds (built with AddressSanitizer).
#include <algorithm>
#include <cstdlib>

#include "sample.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    std::size_t at = 0;
    const auto pick = [&](std::size_t high) { return at < size ? bytes[at++] % (high + 1) : 0; };
    drrn::Sample sample(1, pick(1) ? 3 : 1, 1 + pick(3), 1 + pick(23), 1 + static_cast<int>(pick(2)),
                        static_cast<int>(pick(3)), static_cast<int>(pick(3)), pick(1), pick(1));
    const std::size_t height = 1 + pick(60), columns = 1 + pick(60), band = 1 + pick(60), threads = 1 + pick(2);
    const auto kernels = drrn::kernels_here();
    const std::string name = kernels[pick(kernels.size() - 1)]->name;
    const auto ilr = sample.noise(sample.channels * height * columns);
    if (sample.streamed(ilr, height, columns, threads, name, band, 1) !=
        sample.streamed(ilr, height, columns, 1, name, height, 1 << 20))
        std::abort();
    return 0;
}
