#include "kernels/cpu/isa/isa.h"

enum { MAX_HALF = 1 << 15 };

/* Angles of the rows are formed once a row and serve all its heads. */
typedef struct Rotation {
    const Rope *a;
    const float *theta; /* [head_dim/2] */
} Rotation;

/* cos and sin of n angles, in double (the compiler makes vectors of this loop): φ = q·π/2 + r, |r| <= π/4, Taylor to 2e-9 of r. */
static void angles(const float *theta, float position, float sign, int64_t n, float *cosine, float *sine)
{
    const double half_pi = 1.5707963267948966, half_pi_rest = 6.123233995736766e-17, inverse = 0.63661977236758134;
    for (int64_t j = 0; j < n; j++) {
        double phi = position * theta[j]; /* rounded to f32: theta and position are */
        double q = __builtin_rint(phi * inverse);
        double r = __builtin_fma(-q, half_pi_rest, __builtin_fma(-q, half_pi, phi)), s = r * r;
        double sin_r = r + r * s * (-1.0 / 6 + s * (1.0 / 120 + s * (-1.0 / 5040 + s * (1.0 / 362880))));
        double cos_r = 1 + s * (-0.5 + s * (1.0 / 24 + s * (-1.0 / 720 + s * (1.0 / 40320 + s * (-1.0 / 3628800)))));
        int quadrant = (int)q;
        double c = quadrant & 1 ? sin_r : cos_r, d = quadrant & 1 ? cos_r : sin_r;
        cosine[j] = (float)((quadrant + 1) & 2 ? -c : c);
        sine[j] = (float)(quadrant & 2 ? -d : d) * sign;
    }
}

ALWAYS void rotate(const Rope *a, DType t, int64_t at_, int64_t half, int64_t i, Part part, const float *cosine, const float *sine)
{
    vf c = part_load(cosine, F32, i, part), s = part_load(sine, F32, i, part);
    vf lower = part_load(a->x, t, at_ + i, part), upper = part_load(a->x, t, at_ + half + i, part);
    part_store(a->x, t, at_ + i, part, v_fnma(upper, s, v_mul(lower, c)));
    part_store(a->x, t, at_ + half + i, part, v_fma(lower, s, v_mul(upper, c)));
}

static void rope_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Rotation *r = args;
    const Rope *a = r->a;
    const int64_t half = a->head_dim / 2;
    float *cosine = workspace, *sine = cosine + half;
    for (int64_t row = begin; row < end; row++) {
        angles(r->theta, (float)a->pos[row], a->inverse ? -1.0f : 1.0f, half, cosine, sine);
        for (int64_t h = 0; h < a->heads; h++)
            BY_TYPE(a->act, EACH_VECTOR(0, half, rotate(a, T, row * a->ldx + h * a->head_dim, half, i, part, cosine, sine)));
    }
}

Status NAME(rope)(KernelCtx *ctx, const Rope *a)
{
    TRY(check_rope(a));
    TRY(expect_single("rope", a->act));
    TRY(check_range("rope", "pos", a->pos, a->rows, 0, (int64_t)INT32_MAX + 1));
    const CpuDevice *d = cpu_device(ctx);
    const int64_t half = a->head_dim / 2;
    if (half > MAX_HALF)
        return fail(ERR_INTERNAL, "rope: head_dim is %lld, expected at most %d on cpu", (long long)a->head_dim, 2 * MAX_HALF);
    float *theta = (float *)cpu_workspace(d, 0) + 2 * MAX_HALF; /* behind what rope_rows uses; workers read it */
    for (int64_t j = 0; j < half; j++)
        theta[j] = rope_theta(a->base, j, a->head_dim);
    const double ns_angle = 1.5, ns_element = 0.2;
    Rotation r = {.a = a, .theta = theta};
    parallel_for(d, a->rows, parallel_grain((double)half * (ns_angle + ns_element * (double)a->heads)), rope_rows, &r);
    return OK;
}
