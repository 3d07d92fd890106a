/* gradient.h: is a backward operator of the specification the derivative of its forward? Central differences in double. */
#ifndef GENLLAVA_TESTS_KERNELS_GRADIENT_H
#define GENLLAVA_TESTS_KERNELS_GRADIENT_H

#include "tests/kernels/compare.h"

/* A forward call on F64 arrays and the loss Σ dy·y made from its output. */
typedef struct Forward {
    Backend *ref;
    Op op;
    const void *args;
    const double *y, *dy; /* [n] */
    int64_t n;
} Forward;

/* Each dx[i] is the derivative of the loss with respect to x[i], within 1e-6 of the largest. x is an input of the call. */
void check_gradient(const char *file, int line, const char *what, const Forward *f, double *x, const double *dx, int64_t n);
#define CHECK_GRADIENT(f, x, dx, n) check_gradient(__FILE__, __LINE__, #dx, f, x, dx, n)

double *random_values(int64_t n, uint64_t seed); /* in (-1, 1); freed by the end of the test's process */
double *zero_values(int64_t n);

/* |found - wanted| <= tolerance */
#define CHECK_NEAR(found, wanted, tolerance)                                                                         \
    do {                                                                                                             \
        double found_ = (found), wanted_ = (wanted);                                                                 \
        if (!(found_ - wanted_ <= (tolerance) && wanted_ - found_ <= (tolerance)))                                   \
            test_failed(__FILE__, __LINE__, "%s is %.17g, wanted %.17g", #found, found_, wanted_);                    \
    } while (0)

#endif
