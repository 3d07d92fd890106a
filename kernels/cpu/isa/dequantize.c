/* dequantize.c: matrices from their codes (ops/dequantize.h), compiled once for each instruction set. */
#include "kernels/cpu/isa/isa.h"

static const float NF4_VALUE[NF4_CODES] = {NF4_VALUES};

ALWAYS void put_elements(const Dequantize *a, DType t, int64_t to, int64_t from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        put(a->y, t, to + i, codes_value(a->format, a->codes, a->scales, a->cols, from + i));
}

/* n elements of one block, from an even one on. */
ALWAYS void put_nf4(const Dequantize *a, DType t, int64_t to, int64_t from, int64_t n)
{
    const vf scale = v_set(a->scales[from / NF4_BLOCK]);
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        store(a->y, t, to + i, v_mul(v_load_nibbles(a->codes + (from + i) / 2, NF4_VALUE), scale));
    put_elements(a, t, to + i, from + i, n - i);
}

ALWAYS void put_int8(const Dequantize *a, DType t, int64_t to, int64_t from, int64_t n)
{
    const vf scale = v_set(a->scales[from / a->cols]), unit = v_set(INT8_UNIT);
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        store(a->y, t, to + i, v_mul(v_mul(v_load_i8(a->codes + from + i), scale), unit));
    put_elements(a, t, to + i, from + i, n - i);
}

ALWAYS void put_rows(const Dequantize *a, DType t, int64_t begin, int64_t end)
{
    for (int64_t row = begin; row < end; row++) {
        const int64_t from = (a->first + row) * a->cols, to = row * a->ldy;
        if (a->format == CODES_INT8)
            put_int8(a, t, to, from, a->cols);
        else if (from % 2)
            put_elements(a, t, to, from, a->cols);
        else
            for (int64_t at = 0, n; at < a->cols; at += n) {
                n = NF4_BLOCK - (from + at) % NF4_BLOCK;
                n = n < a->cols - at ? n : a->cols - at;
                put_nf4(a, t, to + at, from + at, n);
            }
    }
}

static void dequantize_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Dequantize *a = args;
    (void)workspace;
    BY_TYPE(a->y_type, put_rows(a, T, begin, end));
}

static Status dequantize(KernelCtx *ctx, const Dequantize *a)
{
    TRY(check_dequantize(a));
    TRY(expect_single("dequantize", a->y_type));
    const double element_ns = 0.1;
    parallel_for(cpu_device(ctx), a->rows, element_ns * (double)a->cols, dequantize_rows, a);
    return OK;
}

void NAME(dequantize)(KernelTable *t)
{
    t->dequantize = dequantize;
}
