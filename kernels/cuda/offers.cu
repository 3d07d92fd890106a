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
    if (!offers && t->no_room)
        log_info("matmuls: %d shapes add to what is there, and the device had no room to time that in: they are multiplied by cuBLASLt's "
                 "first algorithm", t->no_room);
    s->offers = offers < (int)MATMUL_OFFERS ? offers : (int)MATMUL_OFFERS;
    s->timed = OffersTimed{};
}

/* ---- C while it is written again and again ---- */

/* Where a product adds to C in place, what it gives while it is timed goes to memory of its own. That is taken where the device has it to
 * spare: some has to be left for kernels that are loaded now. *timed: what to run, *memory: to be freed; false: there is no room. */
static bool make_room(CudaState *s, const MatmulPlan *p, const MatmulOperands *o, MatmulOperands *timed, void **memory)
{
    constexpr size_t SPARE = (size_t)256 << 20;
    const size_t n = ((size_t)(p->key.m - 1) * (size_t)p->key.ldc + (size_t)p->key.n) * dtype_size((DType)p->key.c_type);
    size_t available = 0, total = 0;
    *timed = *o;
    *memory = nullptr;
    if (o->addend != o->c)
        return true;
    if (cudaMemGetInfo(&available, &total) != cudaSuccess || available < n + SPARE || cudaMalloc(memory, n) != cudaSuccess) {
        cudaGetLastError(); /* not for ever: the next call starts clean */
        s->timed.no_room++;
        return false;
    }
    timed->c = *memory;
    return true;
}

/* ---- the clock ---- */

enum { RUNS = 3, ROUNDS = 2 };

struct Offer {
    const cublasLtMatmulAlgo_t *algo; /* NULL: it is left out */
    size_t workspace_bytes;
    double seconds; /* the least so far; infinity: it does not run */
    cublasStatus_t status; /* of the last run */
};

struct Clock {
    cudaEvent_t from, to;
};

/* An offer that does not run is left out. Whether the device still works is asked at once: after an error that stays, nothing runs. */
static Status leave_out(CudaState *s, const MatmulKey *k, Offer *f)
{
    f->algo = nullptr;
    if (cublas_refuses(f->status))
        return cuda_check(cudaGetLastError(), "timing matmuls");
    cudaGetLastError();
    TRY(cuda_wait(s, "timing matmuls"));
    log_warn("matmul of m %lld, n %lld, k %lld (%s): cuBLASLt fails by an algorithm that it offers (status %d); it is left out",
             (long long)k->m, (long long)k->n, (long long)k->k, operand_name(k->a_type), (int)f->status);
    return OK;
}

static Status run(CudaState *s, const MatmulPlan *p, const MatmulOperands *o, float alpha, Offer *f, int times)
{
    for (int i = 0; i < times && f->algo; i++) {
        f->status = matmul_launch(s, p, o, alpha, f->algo, f->workspace_bytes);
        if (f->status != CUBLAS_STATUS_SUCCESS)
            TRY(leave_out(s, &p->key, f));
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
    if (f->algo)
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

/* No offer has run. That is an error unless the library refuses them all, for then there is a kernel for what it does not take. */
static Status judge_none(const Offer *offer, int n)
{
    for (int i = 0; i < n; i++)
        if (!cublas_refuses(offer[i].status))
            return cublas_check(offer[i].status, "timing matmuls");
    return OK;
}

Status offers_fastest(CudaState *s, const MatmulPlan *p, const MatmulOperands *o, float alpha, const MatmulOffer *offers, int n,
                      int *fastest)
{
    Offer offer[MATMUL_OFFERS];
    MatmulOperands timed;
    void *memory;
    *fastest = 0;
    if (n < 2 || !make_room(s, p, o, &timed, &memory))
        return OK;
    for (int i = 0; i < n; i++)
        offer[i] = Offer{&offers[i].algo, offers[i].workspace_bytes, (double)INFINITY, CUBLAS_STATUS_SUCCESS};
    Status status = time_all(s, p, &timed, alpha, offer, n);
    cudaFree(memory);
    TRY(status);
    *fastest = find_fastest(offer, n);
    if (*fastest < 0)
        return judge_none(offer, n);
    s->timed.shapes++;
    s->timed.others += *fastest > 0;
    s->timed.best += offer[*fastest].seconds;
    s->timed.first += offer[0].algo ? offer[0].seconds : offer[*fastest].seconds;
    return OK;
}
