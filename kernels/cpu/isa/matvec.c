/* matvec.c: a few rows times a weight (matvec.h), compiled once for each instruction set. Called by matmul.c. */
#include "kernels/cpu/isa/matvec.h"

/* The rows of A in f32, each in whole vectors with zeros behind the last element; every thread reads them. */
typedef struct Rows {
    const Matmul *a;
    const float *data;
    int64_t ld;
} Rows;

ALWAYS void finish_element(const Matmul *a, int64_t row, int64_t col, float sum)
{
    int64_t to = row * a->ldc + col;
    sum *= (float)a->alpha;
    if (a->bias)
        sum += get(a->bias, a->bias_type, col);
    const void *addend = matmul_addend(a);
    if (addend)
        sum += get(addend, a->c_type, to);
    put(a->c, a->c_type, to, sum);
}

/* m rows of A times rows col … col+n-1 of B. m and n are constants: m·n sums in registers. */
ALWAYS void dots(const Rows *r, DType type, const int m, const int n, int64_t col)
{
    const Matmul *a = r->a;
    const int64_t k = a->k, whole = k / VL * VL;
    vf sum[MATVEC_ROWS][4];
    UNROLL for (int i = 0; i < m; i++)
        UNROLL for (int j = 0; j < n; j++)
            sum[i][j] = v_zero();
    for (int64_t p = 0; p < whole; p += VL)
        UNROLL for (int j = 0; j < n; j++) {
            vf b = load(a->b, type, (col + j) * a->ldb + p);
            UNROLL for (int i = 0; i < m; i++)
                sum[i][j] = v_fma(v_load(r->data + i * r->ld + p), b, sum[i][j]);
        }
    if (whole < k) {
        vm rest = v_mask(k - whole);
        UNROLL for (int j = 0; j < n; j++) {
            vf b = load_some(a->b, type, (col + j) * a->ldb + whole, rest);
            UNROLL for (int i = 0; i < m; i++)
                sum[i][j] = v_fma(v_load(r->data + i * r->ld + whole), b, sum[i][j]);
        }
    }
    UNROLL for (int i = 0; i < m; i++)
        UNROLL for (int j = 0; j < n; j++)
            finish_element(a, i, col + j, v_sum(sum[i][j]));
}

ALWAYS void columns(const Rows *r, DType type, const int m, int64_t begin, int64_t end)
{
    const int n = m <= 2 ? 4 : m <= 4 ? 2 : 1; /* at most 8 sums */
    for (; begin + n <= end; begin += n)
        dots(r, type, m, n, begin);
    for (; begin < end; begin++)
        dots(r, type, m, 1, begin);
}

static void matvec_columns(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Rows *r = args;
    (void)workspace;
    switch (r->a->m) {
#define CASE(m) \
    case m: BY_TYPE(r->a->b_type, columns(r, T, m, begin, end)); break;
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#undef CASE
    }
}

Status NAME(matvec)(CpuDevice *d, const Matmul *a)
{
    _Static_assert((size_t)MATVEC_ROWS * MATVEC_MOST_K * sizeof(float) <= WORKSPACE_PAGE, "the rows of A");
    const double product_ns = 0.15; /* reading a weight from memory */
    Rows r = {.a = a, .ld = (a->k + VL - 1) / VL * VL};
    float *data = cpu_workspace(d, 0);
    for (int64_t row = 0; row < a->m; row++) {
        if (a->a_trans)
            for (int64_t p = 0; p < a->k; p++)
                data[row * r.ld + p] = get(a->a, a->a_type, p * a->lda + row);
        else
            EACH_VECTOR(0, a->k, part_store(data + row * r.ld, F32, i, part, part_load(a->a, a->a_type, row * a->lda + i, part)));
        for (int64_t p = a->k; p < r.ld; p++)
            data[row * r.ld + p] = 0;
    }
    r.data = data;
    parallel_for(d, a->n, product_ns * (double)a->k, matvec_columns, &r);
    return OK;
}
