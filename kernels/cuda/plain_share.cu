/* plain_share.cu: how much of a step's matmuls falls to the kernel without tensor cores, and a warning when that can be felt. matmul.cu
 * adds up what is multiplied, or would be while a run is measured. It is judged when the measuring ends (memory.cu), which is before the
 * first step and in a dry run, and where nothing was measured when the host first waits for results (staging.cu). */
#include "kernels/base/log.h"
#include "kernels/cuda/backend.cuh"

/* What a product takes, in units of one on bf16 tensor cores: from published rates (H100, A100), a matmul at 0.7 of them, plain at 0.5. */
static double relative_time(const MatmulKey *k, bool plain)
{
    return (double)k->m * (double)k->n * (double)k->k *
           (plain ? 25.0 : k->a_type == (uint8_t)F32 ? 15.0 : k->a_type == (uint8_t)U8 ? 0.5 : 1.0);
}

void plain_share_add(CudaState *s, const MatmulKey *key, bool plain)
{
    PlainShare *p = &s->plain_share;
    double time = relative_time(key, plain);
    p->all += time;
    p->plain += plain ? time : 0;
    if (plain && time > p->most) {
        p->most = time;
        p->largest = *key;
    }
}

void plain_share_tell(PlainShare *p)
{
    const MatmulKey *k = &p->largest;
    if (!p->told && p->plain > 0.01 * p->all)
        log_warn("about %.0f%% of the time of this run's matrix products goes to those that are multiplied without tensor cores, because "
                 "cuBLASLt has no algorithm for them; the largest: m %lld, n %lld, k %lld (%s), rows of %lld, %lld and %lld, at multiples "
                 "of %d, %d and %d bytes",
                 100 * p->plain / p->all, (long long)k->m, (long long)k->n, (long long)k->k, operand_name(k->a_type),
                 (long long)k->lda, (long long)k->ldb, (long long)k->ldc, k->align_a, k->align_b, k->align_c);
    p->told = p->told || p->all > 0;
}
