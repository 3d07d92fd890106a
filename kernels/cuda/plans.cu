/* plans.cu: what is remembered of matmuls: shapes described for cuBLASLt (plans), and the algorithms of buckets of shapes (choices). Called
 * by matmul.cu, and by choices.cu for the run's state.
 *
 * Packed passes have ever new numbers of rows, so plans come and go. Choices stay: there are but a few for each weight. */
#include "kernels/cuda/backend.cuh"

#include <string.h>

void matmul_plan_free(const CudaState *s, MatmulPlan *p)
{
    if (p->desc)
        s->cublas.cublasLtMatmulDescDestroy(p->desc);
    if (p->a)
        s->cublas.cublasLtMatrixLayoutDestroy(p->a);
    if (p->b)
        s->cublas.cublasLtMatrixLayoutDestroy(p->b);
    if (p->c)
        s->cublas.cublasLtMatrixLayoutDestroy(p->c);
    p->desc = nullptr;
    p->a = p->b = p->c = nullptr;
    p->ready = p->plain = false;
}

static void free_plans(CudaState *s)
{
    for (int i = 0; i < s->n_plans; i++)
        matmul_plan_free(s, &s->plans[i]);
    s->n_plans = 0;
    memset(&s->plan_slots, 0, sizeof s->plan_slots);
}

void matmul_forget(CudaState *s)
{
    free_plans(s);
    s->n_choices = 0;
    memset(&s->choice_slots, 0, sizeof s->choice_slots);
}

Status matmul_tables_create(CudaState *s)
{
    s->plans = (MatmulPlan *)mem_alloc(MATMUL_PLANS * sizeof *s->plans);
    s->choices = (MatmulChoice *)mem_alloc(MATMUL_CHOICES * sizeof *s->choices);
    if (s->plans && s->choices)
        return OK;
    matmul_tables_free(s);
    return fail(ERR_NOMEM, "no memory for the matmuls of the cuda backend");
}

void matmul_tables_free(CudaState *s)
{
    matmul_forget(s);
    mem_free(s->plans);
    mem_free(s->choices);
    s->plans = nullptr;
    s->choices = nullptr;
}

/* Where the key is, or would be. */
template <class Entry, int N> static uint16_t *find_slot(MatmulSlots<N> *slots, const Entry *entries, const MatmulKey *key)
{
    const unsigned char *byte = (const unsigned char *)key;
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, 64 bits */
    for (size_t i = 0; i < sizeof *key; i++)
        h = (h ^ byte[i]) * 0x100000001b3u;
    for (uint64_t at = h ^ h >> 32;; at++) {
        uint16_t *slot = &slots->slot[at % (2 * N)];
        if (!*slot || !memcmp(&entries[*slot - 1].key, key, sizeof *key))
            return slot;
    }
}

template <class Entry> static Entry *add_entry(Entry *entries, int *n, uint16_t *slot, const MatmulKey *key)
{
    Entry *e = &entries[(*n)++];
    memset(e, 0, sizeof *e);
    e->key = *key;
    *slot = (uint16_t)*n;
    return e;
}

MatmulPlan *matmul_plan(CudaState *s, const MatmulKey *key)
{
    uint16_t *slot = find_slot(&s->plan_slots, s->plans, key);
    if (*slot)
        return &s->plans[*slot - 1];
    if (s->n_plans == MATMUL_PLANS) {
        free_plans(s);
        slot = find_slot(&s->plan_slots, s->plans, key);
    }
    return add_entry(s->plans, &s->n_plans, slot, key);
}

MatmulChoice *matmul_choice(CudaState *s, const MatmulKey *key)
{
    uint16_t *slot = find_slot(&s->choice_slots, s->choices, key);
    if (*slot)
        return &s->choices[*slot - 1];
    return s->n_choices == MATMUL_CHOICES ? nullptr : add_entry(s->choices, &s->n_choices, slot, key);
}

/* The next of 1, 2, 4 … 256, and from there on of four steps to each doubling. */
static int64_t bucket_top(int64_t n)
{
    enum { COARSE = 256, STEPS = 4 };
    int64_t below = 1;
    while (2 * below < n)
        below *= 2;
    if (n <= 1 || 2 * below <= (int64_t)COARSE)
        return n <= 1 ? 1 : 2 * below;
    const int64_t step = below / STEPS;
    return (n + step - 1) / step * step;
}

/* Rows of A, or of both where they are added up: no other row or matrix begins elsewhere when there are more of them. */
MatmulKey matmul_bucket(const MatmulKey *key)
{
    MatmulKey top = *key;
    if (!key->a_trans)
        top.m = bucket_top(key->m);
    else if (!key->b_trans)
        top.k = bucket_top(key->k);
    return top;
}
