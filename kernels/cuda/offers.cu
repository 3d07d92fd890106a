/* offers.cu: which of the algorithms that cuBLASLt offers for a product is the fastest on this device, by running them. Called by matmul.cu
 * where a choice is to be made, while the run's first step is computed (Backend.time_choices).
 *
 * The clock decides, so a second run on the same device may choose otherwise, and then has other bits. What is chosen is kept with the run,
 * and a resumed one does not time again (choices.cu). GENLLAVA_MATMUL_TIMING=none in the environment takes the library's first offer. */
#include "kernels/cuda/backend.cuh"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/log.h"

static const char SETTING[] = "GENLLAVA_MATMUL_TIMING";

Status offers_setting(double *flops)
{
    const char *set = getenv(SETTING);
    char *end = nullptr;
    *flops = 1e9; /* some microseconds */
    if (!set)
        return OK;
    *flops = strcmp(set, "none") ? strtod(set, &end) : (double)INFINITY;
    return end && (end == set || *end || !(*flops >= 0))
               ? fail(ERR_USAGE, "%s is \"%s\", expected none or the number of FLOP from which on matrix products are timed", SETTING, set)
               : OK;
}

void offers_time(Backend *b, int offers)
{
    CudaState *s = cuda_state(&b->ctx);
    const OffersTimed *t = &s->timed;
    if (!offers && t->shapes)
        log_info("matmuls: the algorithms of %d shapes were timed; for %d another than cuBLASLt's first is faster, and all together take "
                 "%.1f%% less time than by the first",
                 t->shapes, t->others, t->first > 0 ? 100 * (1 - t->best / t->first) : 0.0);
    s->offers = offers < (int)MATMUL_OFFERS ? offers : (int)MATMUL_OFFERS;
    s->timed = OffersTimed{};
}

/* ---- C while it is written again and again ---- */

/* What a product adds to in place is put back: kept on the host meanwhile. bytes: NULL where nothing is added to. */
struct Saved {
    char *bytes;
    size_t n;
};

/* false: it could not be put back, between other columns or for want of memory, and nothing is timed. */
static bool make_room(const MatmulPlan *p, const MatmulOperands *o, Saved *saved)
{
    *saved = Saved{};
    if (o->addend != o->c)
        return true;
    if (p->key.ldc != p->key.n && p->key.m > 1)
        return false;
    saved->n = (size_t)p->key.m * (size_t)p->key.n * dtype_size((DType)p->key.c_type);
    saved->bytes = (char *)mem_alloc(saved->n);
    return saved->bytes != nullptr;
}

static Status save(CudaState *s, const MatmulOperands *o, const Saved *saved)
{
    return !saved->bytes ? OK
                         : cuda_check(cudaMemcpyAsync(saved->bytes, o->c, saved->n, cudaMemcpyDeviceToHost, s->stream), "timing matmuls");
}

/* status: how the timing went; after a failure nothing is put back. */
static Status restore(CudaState *s, const MatmulOperands *o, Saved *saved, Status status)
{
    if (saved->bytes && status == OK)
        status = cuda_check(cudaMemcpyAsync(o->c, saved->bytes, saved->n, cudaMemcpyHostToDevice, s->stream), "timing matmuls");
    if (saved->bytes && status == OK)
        status = cuda_wait(s, "timing matmuls"); /* the copy has read it */
    mem_free(saved->bytes);
    return status;
}

/* ---- the clock ---- */

enum { RUNS = 3, ROUNDS = 2 };

struct Offer {
    const cublasLtMatmulAlgo_t *algo;
    size_t workspace_bytes;
    double seconds; /* the least so far; infinity: it does not run */
};

struct Clock {
    cudaEvent_t from, to;
};

static Status run(CudaState *s, const MatmulPlan *p, const MatmulOperands *o, float alpha, Offer *f, int times)
{
    for (int i = 0; i < times; i++) {
        cublasStatus_t status = matmul_launch(s, p, o, alpha, f->algo, f->workspace_bytes);
        if (cublas_refuses(status)) {
            f->algo = nullptr;
            return cuda_check(cudaGetLastError(), "timing matmuls");
        }
        TRY(cublas_check(status, "timing matmuls"));
    }
    return OK;
}

/* Once to warm up, then a few times by the clock. */
static Status time_offer(CudaState *s, const MatmulPlan *p, const MatmulOperands *o, float alpha, const Clock *c, Offer *f)
{
    float ms = 0;
    TRY(run(s, p, o, alpha, f, 1));
    if (!f->algo)
        return OK;
    TRY(cuda_check(cudaEventRecord(c->from, s->stream), "timing matmuls"));
    TRY(run(s, p, o, alpha, f, RUNS));
    TRY(cuda_check(cudaEventRecord(c->to, s->stream), "timing matmuls"));
    TRY(cuda_check(cudaEventSynchronize(c->to), "timing matmuls"));
    TRY(cuda_check(cudaEventElapsedTime(&ms, c->from, c->to), "timing matmuls"));
    f->seconds = fmin(f->seconds, 1e-3 * (double)ms / RUNS);
    return OK;
}

static Status time_all(CudaState *s, const MatmulPlan *p, const MatmulOperands *o, float alpha, Offer *offer, int n)
{
    Clock c = {};
    Status status = cuda_check(cudaEventCreate(&c.from), "timing matmuls");
    if (status == OK)
        status = cuda_check(cudaEventCreate(&c.to), "timing matmuls");
    for (int round = 0; round < (int)ROUNDS; round++) /* what disturbs one round seldom disturbs the other at the same place */
        for (int i = 0; i < n && status == OK; i++)
            if (offer[i].algo)
                status = time_offer(s, p, o, alpha, &c, &offer[i]);
    if (c.from)
        cudaEventDestroy(c.from);
    if (c.to)
        cudaEventDestroy(c.to);
    return status;
}

/* The earlier one of two that are about as fast. */
static int find_fastest(const Offer *offer, int n)
{
    const double noise = 0.98;
    int best = -1;
    for (int i = 0; i < n; i++)
        if (offer[i].algo && (best < 0 || offer[i].seconds < noise * offer[best].seconds))
            best = i;
    return best;
}

Status offers_fastest(CudaState *s, const MatmulPlan *p, const MatmulOperands *o, float alpha, const MatmulOffer *offers, int n,
                      int *fastest)
{
    Offer offer[MATMUL_OFFERS];
    Saved saved;
    *fastest = 0;
    if (n < 2 || !make_room(p, o, &saved))
        return OK;
    for (int i = 0; i < n; i++)
        offer[i] = Offer{&offers[i].algo, offers[i].workspace_bytes, (double)INFINITY};
    Status status = save(s, o, &saved);
    if (status == OK)
        status = time_all(s, p, o, alpha, offer, n);
    TRY(restore(s, o, &saved, status));
    *fastest = find_fastest(offer, n);
    if (*fastest >= 0) {
        s->timed.shapes++;
        s->timed.others += *fastest > 0;
        s->timed.best += offer[*fastest].seconds;
        s->timed.first += offer[0].algo ? offer[0].seconds : offer[*fastest].seconds;
    }
    return OK;
}
