/* declare.c: names and shapes of declared weights (declare.h). */
#include "train/models/declare.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { KERNEL = 3 };

Declare declare_under(const Declare *d, const char *format, ...)
{
    Declare below = *d;
    size_t n = strlen(d->stem);
    va_list args;
    va_start(args, format);
    vsnprintf(below.stem + n, sizeof below.stem - n, format, args);
    va_end(args);
    return below;
}

Param *declare_weight(const Declare *d, const char *name, ParamSpec spec)
{
    char full[2 * WEIGHT_NAME_MAX];
    size_t ours = d->ours ? strlen(d->ours) : 0;
    snprintf(full, sizeof full, "%s%s%s", ours ? d->ours : "", d->stem, name);
    spec.name = full;
    Param *q = params_declare(d->p, &spec);
    if (q && ours && !(q->file_name = mem_strdup(full + ours)))
        d->p->failed = true;
    return q;
}

static Param *weight(const Declare *d, const char *name, ParamSpec spec)
{
    char full[WEIGHT_NAME_MAX];
    snprintf(full, sizeof full, "%s.weight", name);
    return declare_weight(d, full, spec);
}

/* Drawn in ±bound, or as zeros. */
static Param *bias(const Declare *d, const char *name, int64_t n, double bound)
{
    char full[WEIGHT_NAME_MAX];
    snprintf(full, sizeof full, "%s.bias", name);
    return declare_weight(d, full,
                          (ParamSpec){.init = bound > 0 ? INIT_UNIFORM : INIT_ZERO, .init_scale = bound, .n_dims = 1, .shape = {n}});
}

void declare_norm(const Declare *d, const char *name, int64_t n, Param **w, Param **b)
{
    *w = weight(d, name, (ParamSpec){.init = INIT_ONE, .n_dims = 1, .shape = {n}});
    *b = bias(d, name, n, 0);
}

Linear declare_linear_drawn(const Declare *d, const char *name, int64_t out, int64_t in, double weights, double biases)
{
    ParamSpec spec = {.decay = true, .init = INIT_UNIFORM, .init_scale = weights, .n_dims = 2, .shape = {out, in}};
    Linear l = {.w = weight(d, name, spec)};
    l.b = bias(d, name, out, biases);
    return l;
}

Linear declare_linear(const Declare *d, const char *name, int64_t out, int64_t in) { return declare_linear_drawn(d, name, out, in, 0, 0); }

Linear declare_linear_unbiased(const Declare *d, const char *name, int64_t out, int64_t in)
{
    return (Linear){.w = weight(d, name, (ParamSpec){.decay = true, .n_dims = 2, .shape = {out, in}})};
}

Linear declare_pointwise(const Declare *d, const char *name, int64_t out, int64_t in)
{
    Linear l = {.w = weight(d, name, (ParamSpec){.decay = true, .n_dims = 4, .shape = {out, in, 1, 1}})};
    l.b = bias(d, name, out, 0);
    return l;
}

Conv declare_conv(const Declare *d, const char *name, int64_t out, int64_t in, int64_t stride, int64_t padding)
{
    ParamSpec spec = {.decay = true, .n_dims = 4, .shape = {out, in, KERNEL, KERNEL}, .channels_last = true};
    Conv c = {.stride = stride, .top = padding, .left = padding, .bottom = 1, .right = 1};
    c.w = weight(d, name, spec);
    c.b = bias(d, name, out, 0);
    return c;
}

double declare_xavier(int64_t out, int64_t in) { return sqrt(6.0 / (double)(in + out)); }
double declare_from_inputs(int64_t in) { return 1 / sqrt((double)in); }
