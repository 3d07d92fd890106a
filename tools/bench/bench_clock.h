/* bench_clock.h: taking the time, for benchmarks. */
#ifndef GENLLAVA_TOOLS_BENCH_BENCH_CLOCK_H
#define GENLLAVA_TOOLS_BENCH_BENCH_CLOCK_H

double bench_now(void);                /* seconds since some moment */
double bench_median(double *v, int n); /* n > 0; sorts v */
#endif
