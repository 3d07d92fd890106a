/* gguf_out.c: tensors into a GGUF file (gguf_out.h). */
#include "tools/convert/gguf_out.h"

#include <string.h>

#include "data/formats/q8_0.h"
#include "kernels/base/arena.h"

uint32_t gguf_out_file_type(OutType t)
{
    static const uint32_t TYPES[N_OUT_TYPES] = {[TYPE_F32] = 0, [TYPE_F16] = 1, [TYPE_Q8_0] = 7, [TYPE_BF16] = 32};
    return TYPES[t];
}

static GgufType type_of(const OutTensor *t, bool q8_0)
{
    if (q8_0 && t->type == F16 && t->value.n_dims == 2 && t->value.shape[1] % Q8_0_BLOCK == 0)
        return GGUF_Q8_0;
    return t->type == F32 ? GGUF_F32 : t->type == F16 ? GGUF_F16 : GGUF_BF16;
}

static Status put_bytes(void *w, const void *bytes, size_t n) { return gguf_write(w, bytes, n); }

typedef struct Quantized {
    GgufWriter *w;
    int64_t row;
} Quantized;

static Status put_quantized(void *arg, const float *rows, int64_t n)
{
    const Quantized *q = arg;
    const size_t elems = (size_t)(n * q->row), bytes = elems / Q8_0_BLOCK * Q8_0_BYTES;
    void *blocks = mem_alloc(bytes);
    if (!blocks)
        return fail(ERR_NOMEM, "out of memory for quantised rows");
    q8_0_from_f32(blocks, rows, elems);
    Status s = gguf_write(q->w, blocks, bytes);
    mem_free(blocks);
    return s;
}

static Status write_tensors(GgufWriter *w, const OutList *l, GgufSpec *specs, bool q8_0)
{
    for (int i = 0; i < l->n; i++) {
        const OutTensor *t = &l->list[i];
        specs[i] = (GgufSpec){.name = t->name, .type = type_of(t, q8_0), .n_dims = t->value.n_dims};
        memcpy(specs[i].shape, t->value.shape, sizeof specs->shape);
    }
    TRY(gguf_declare(w, specs, l->n));
    out_expect(l);
    for (int i = 0; i < l->n; i++)
        if (specs[i].type == GGUF_Q8_0)
            TRY(out_rows(&l->list[i], put_quantized, &(Quantized){w, stored_row(&l->list[i].value)}));
        else
            TRY(out_write(&l->list[i], put_bytes, w));
    return OK;
}

Status gguf_out_write(GgufWriter *w, const OutList *l, bool q8_0)
{
    GgufSpec *specs = mem_alloc((size_t)(l->n + 1) * sizeof *specs);
    Status s = specs ? write_tensors(w, l, specs, q8_0) : fail(ERR_NOMEM, "GGUF: out of memory");
    mem_free(specs);
    if (s)
        gguf_abandon(&w);
    return s ? s : gguf_finish(&w);
}
