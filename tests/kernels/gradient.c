/* gradient.c: central differences of an operator in double (gradient.h). */
#include "tests/kernels/gradient.h"

#include <math.h>

#include "kernels/base/philox.h"

static double loss(const Forward *f)
{
    double sum = 0;
    REQUIRE_OK(op_call(f->ref, f->op, f->args));
    for (int64_t i = 0; i < f->n; i++)
        sum += f->dy[i] * f->y[i];
    return sum;
}

void check_gradient(const char *file, int line, const char *what, const Forward *f, double *x, const double *dx, int64_t n)
{
    const double step = 1e-5;
    double largest = 0, worst = 0, worst_difference = 0;
    int64_t worst_at = 0;
    for (int64_t i = 0; i < n; i++) {
        double saved = x[i];
        x[i] = saved + step;
        double above = loss(f);
        x[i] = saved - step;
        double below = loss(f);
        x[i] = saved;
        double difference = (above - below) / (2 * step);
        largest = fmax(largest, fabs(difference));
        if (!(fabs(difference - dx[i]) <= worst)) {
            worst = fabs(difference - dx[i]);
            worst_difference = difference;
            worst_at = i;
        }
    }
    if (!(worst <= 1e-6 * largest))
        test_failed(file, line, "%s: %s[%lld] is %.12g, central difference %.12g (largest %.3g)", op_name(f->op), what, (long long)worst_at,
                    dx[worst_at], worst_difference, largest);
}

double *zero_values(int64_t n)
{
    double *v = mem_alloc((size_t)n * sizeof *v);
    REQUIRE(v);
    return v;
}

double *random_values(int64_t n, uint64_t seed)
{
    double *v = zero_values(n);
    for (int64_t i = 0; i < n; i++)
        v[i] = 2 * (double)philox_uniform(philox4x32(seed, (uint32_t)i, 0, 0, 0).v[0]) - 1;
    return v;
}
