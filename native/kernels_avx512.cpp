// For CPUs with AVX-512: 32 registers of 16 floats. Compiled with -mavx512f and the like, so only run where they exist.
#define ISA avx512
#define LANES 16
#define PANEL 4
#define SUMS 24
#define RUNS __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
#include "kernels.inl"

const drrn::Kernels drrn::avx512_kernels = {DRRN_NAME(ISA), LANES, PANEL* LANES, ISA::runs_here, ISA::tiles, ISA::gradients};
