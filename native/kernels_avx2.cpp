// For CPUs with AVX2 and FMA: 16 registers of 8 floats. Compiled with -mavx2 -mfma, so only run on CPUs that have them.
#define ISA avx2
#define LANES 8
#define PANEL 2
#define SUMS 12
#define RUNS __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
#include "kernels.inl"

const drrn::Kernels drrn::avx2_kernels = {DRRN_NAME(ISA), LANES, PANEL* LANES, ISA::runs_here, ISA::tiles, ISA::gradients};
