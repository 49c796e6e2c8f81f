// For every CPU of an architecture: NEON with 32 registers of 4 floats, SSE2 with 16, or the compiler's
// generic vectors elsewhere.
#if defined(__aarch64__)
#define ISA neon
#define PANEL 4
#define SUMS 24
#else
#define ISA baseline
#define PANEL 2
#define SUMS 12
#endif
#define LANES 4
#define RUNS true
#include "kernels.inl"

const drrn::Kernels drrn::baseline_kernels = {DRRN_NAME(ISA), LANES, PANEL* LANES, ISA::runs_here, ISA::tiles, ISA::gradients};
