/* rope.c: rotary position embedding (ops/rope.h), compiled once for each instruction set. */
#include "kernels/cpu/isa/isa.h"

/* A pass of rows forms all its angles in one loop; they serve every head. */
enum { PASS_ANGLES = 1 << 13, MAX_HALF = PASS_ANGLES };

typedef struct Rotation {
    const Rope *a;
    const float *theta; /* [head_dim/2] */
} Rotation;

/* A thread's workspace; theta is the calling thread's. */
typedef struct Workspace {
    float phi[PASS_ANGLES], cosine[PASS_ANGLES], sine[PASS_ANGLES], theta[MAX_HALF];
} Workspace;
_Static_assert(sizeof(Workspace) <= WORKSPACE_PAGE, "the workspace of rope");

/* cos and sin of n angles, in double (the compiler makes vectors of this loop): φ = q·π/2 + r, |r| <= π/4, Taylor to 2e-9 of r. */
static void angles(const float *phi, float sign, int64_t n, float *cosine, float *sine)
{
    const double half_pi = 1.5707963267948966, half_pi_rest = 6.123233995736766e-17, inverse = 0.63661977236758134;
    for (int64_t j = 0; j < n; j++) {
        double x = phi[j], q = __builtin_rint(x * inverse);
        double r = __builtin_fma(-q, half_pi_rest, __builtin_fma(-q, half_pi, x)), s = r * r;
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

ALWAYS void rotate_rows(const Rope *a, DType t, int64_t begin, int64_t end, const Workspace *w)
{
    const int64_t half = a->head_dim / 2;
    for (int64_t row = begin; row < end; row++) {
        const float *cosine = w->cosine + (row - begin) * half, *sine = w->sine + (row - begin) * half;
        for (int64_t h = 0; h < a->heads; h++)
            EACH_VECTOR(0, half, rotate(a, t, row * a->ldx + h * a->head_dim, half, i, part, cosine, sine));
    }
}

static void rope_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Rotation *r = args;
    const Rope *a = r->a;
    Workspace *w = workspace;
    const int64_t half = a->head_dim / 2, pass = PASS_ANGLES / half;
    for (int64_t first = begin; first < end; first += pass) {
        int64_t last = end - first < pass ? end : first + pass;
        for (int64_t row = first; row < last; row++) {
            float position = (float)a->pos[row];
            for (int64_t j = 0; j < half; j++)
                w->phi[(row - first) * half + j] = position * r->theta[j]; /* in f32, as the model was trained with */
        }
        angles(w->phi, a->inverse ? -1.0f : 1.0f, (last - first) * half, w->cosine, w->sine);
        BY_TYPE(a->act, rotate_rows(a, T, first, last, w));
    }
}

static Status rope(KernelCtx *ctx, const Rope *a)
{
    TRY(check_rope(a));
    TRY(expect_single("rope", a->act));
    TRY(check_range("rope", "pos", a->pos, a->rows, 0, (int64_t)INT32_MAX + 1));
    CpuDevice *d = cpu_device(ctx);
    const int64_t half = a->head_dim / 2;
    if (half > MAX_HALF)
        return fail(ERR_INTERNAL, "rope: head_dim is %lld, expected at most %d on cpu", (long long)a->head_dim, 2 * MAX_HALF);
    Workspace *w = cpu_workspace(d, 0);
    for (int64_t j = 0; j < half; j++)
        w->theta[j] = rope_theta(a, j);
    const double angle_ns = 1.5, element_ns = 0.2;
    Rotation r = {.a = a, .theta = w->theta};
    parallel_for(d, a->rows, (double)half * (angle_ns + element_ns * (double)a->heads), rope_rows, &r);
    return OK;
}

void NAME(rope)(KernelTable *t)
{
    t->rope = rope;
}
