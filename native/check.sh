#!/usr/bin/env bash
# The engine without Python: under AddressSanitizer and UndefinedBehaviorSanitizer, under ThreadSanitizer, fuzzed, and on an
# emulated ARM. What is not installed is said and left out. Debian: apt-get install cmake ninja-build clang
# libclang-rt-dev g++-aarch64-linux-gnu qemu-user
#   native/check.sh [NETWORKS] [SECONDS OF FUZZING]
set -euo pipefail
cd "$(dirname "$0")/.."
networks=${1:-200} seconds=${2:-60}

build() {  # folder, options
    cmake -S native -B "build/$1" -DDRRN_CHECKS=ON "${@:2}" >/dev/null
    cmake --build "build/$1" --parallel 2 >/dev/null
}

for sanitizers in address,undefined thread; do
    echo "== -fsanitize=$sanitizers"
    build "check-$sanitizers" -DDRRN_SANITIZE=$sanitizers -DCMAKE_BUILD_TYPE=RelWithDebInfo
    "build/check-$sanitizers/check" "$networks"
done

echo "== libFuzzer"
if command -v clang++ >/dev/null; then
    # without UndefinedBehaviorSanitizer: its checks part some products from their sums, and the last bit then differs
    build fuzz -DDRRN_SANITIZE=address -DCMAKE_CXX_COMPILER=clang++
    build/fuzz/fuzz -max_total_time="$seconds" -max_len=24 -print_final_stats=1 -artifact_prefix=build/fuzz/ 2>&1 |
        grep -E "ERROR|SUMMARY|number_of_executed_units|slowest"
else
    echo "left out: no clang++"
fi

echo "== NEON, emulated"
if command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64 >/dev/null; then
    build check-neon -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
        -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_EXE_LINKER_FLAGS=-static
    qemu-aarch64 build/check-neon/check "$networks"
else
    echo "left out: no cross compiler or no emulator"
fi
