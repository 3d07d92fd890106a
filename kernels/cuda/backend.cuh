/* backend.cuh: the cuda backend's own state, one per opened backend, on one device. */
#ifndef GENLLAVA_KERNELS_CUDA_BACKEND_CUH
#define GENLLAVA_KERNELS_CUDA_BACKEND_CUH

#include "kernels/cuda/cublas.cuh"
#include "kernels/cuda/cudnn.cuh"
#include "kernels/cuda/device.cuh"

/* A matmul's shape as far as the choice of an algorithm depends on it. Compared byte by byte: zero it first. */
struct MatmulKey {
    int64_t m, n, k, lda, ldb, ldc;
    uint8_t a_type, b_type, c_type, a_trans, b_trans, has_bias;
    uint8_t align_a, align_b, align_c, align_bias; /* bytes */
    uint8_t unused[6];
};
static_assert(sizeof(MatmulKey) == 6 * sizeof(int64_t) + 16, "no padding to compare");

/* What the library takes as a matmul's arguments beside its shape: A and B of one type, the bias in C's. A type of U8 is that of codes of
 * ops/fp8.h. */
struct MatmulOperands {
    const void *a, *b, *bias;
    const void *addend; /* as C; NULL: nothing is added */
    void *c;
    const float *a_scale, *b_scale; /* of codes: of every row; NULL: they are not scaled */
};

/* The algorithm for all shapes of a bucket, which differ by how many rows are multiplied or added up: those of packed passes. */
struct MatmulChoice {
    MatmulKey key; /* the largest of them */
    bool ready;
    bool kept;  /* the algorithm came with the run and has not been tried yet */
    bool plain; /* the library has no algorithm that may be used: matmul_plain */
    cublasLtMatmulAlgo_t algo;
};

/* A shape described as cuBLASLt wants it, with the algorithm of its bucket, or one of its own where that does not take it. */
struct MatmulPlan {
    MatmulKey key;
    bool ready; /* described, and the algorithm may be used */
    bool plain;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algo;
    size_t workspace_bytes;
};

/* How much of the matmuls is multiplied without tensor cores (plain_share.cu). */
struct PlainShare {
    double all, plain, most; /* time in units of its own; most: of one shape */
    MatmulKey largest;
    bool told; /* judged once */
};

enum { MATMUL_PLANS = 512, MATMUL_CHOICES = 2048, MATMUL_WORKSPACE = 32 << 20, MATMUL_OFFERS = 64 };

/* An algorithm that may be used, as the library offers it. */
struct MatmulOffer {
    cublasLtMatmulAlgo_t algo;
    size_t workspace_bytes;
};

/* Finds an entry by its key: 1 + its number, 0 where there is none. */
template <int N> struct MatmulSlots {
    uint16_t slot[2 * N];
};

/* What timing has found so far. */
struct OffersTimed {
    int shapes, others, no_room; /* others: that take another than the first offer; no_room: that were not timed for want of memory */
    double first, best;         /* seconds of one product of each, by the first offer and by the one taken */
};

/* Room for the ids, labels and pictures of a pass in each half; a larger copy goes in pieces. */
constexpr size_t STAGING_HALF = 16 << 20, STAGING_DOWN = 4 << 20;

struct Staging {
    cudaStream_t stream;  /* copies to the device */
    cudaEvent_t arrived;  /* of the copy just made */
    cudaEvent_t consumed[2];
    char *pinned;         /* 2 · STAGING_HALF to the device, STAGING_DOWN from it */
    char *device;         /* 2 · STAGING_HALF */
    size_t used;          /* of the present half */
    int half;
    bool in_use[2];       /* consumed[] says until when */
};

/* beside.cu */
struct Beside {
    cudaStream_t stream;
    cudaEvent_t forked, ended, joined;
    bool is_joined; /* and nobody has asked for the time */
};

struct CudaState {
    cudaStream_t stream; /* all kernels */
    bool scales_rows;    /* cuBLASLt scales products of fp8 by row and column */
    size_t shared_most;  /* bytes of shared memory that a block can have: 99 KiB on RTX 30 and 40, 163 on A100, 227 on H100 */
    Staging staging;
    Beside beside;
    Cublas cublas;
    cublasLtHandle_t lt;
    cublasLtMatmulPreference_t preference;
    Cudnn cudnn;
    void *workspace; /* MATMUL_WORKSPACE bytes */
    void *partial;   /* of operators that need memory besides, n_partial bytes; grows */
    size_t n_partial;
    size_t workspace_measured; /* the largest that a measured operator asked for */
    CudaState *measures_for;   /* of a backend that only measures (its stream is NO_STREAM): whom it tells */
    Arena measured;            /* … and what it was asked for */
    MatmulPlan *plans; /* begun again when there is no more room */
    int n_plans;
    MatmulSlots<MATMUL_PLANS> plan_slots;
    MatmulChoice *choices; /* in the order in which the shapes came */
    int n_choices;
    MatmulSlots<MATMUL_CHOICES> choice_slots;
    int offers;          /* to be timed for a choice; 0: the first is taken */
    double timed_flops;  /* products of fewer are not timed */
    OffersTimed timed;
    PlainShare plain_share;
    char origin[256];  /* libraries and device that the algorithms are chosen for */
};

static inline const char *operand_name(uint8_t type) { return type == (uint8_t)U8 ? "fp8" : dtype_name((DType)type); }
static inline CudaState *cuda_state(KernelCtx *ctx) { return (CudaState *)ctx->device; }

/* The runtime's sentence as ERR_DEVICE, with `what` or the kernels that may be to blame; OK for success. */
Status cuda_check(cudaError_t e, const char *what);
/* Until the compute stream has come to rest. */
Status cuda_wait(CudaState *s, const char *what);
Status memory_full(const char *what); /* the sentence for memory that the runtime, or cuBLASLt, did not get for itself */
Status memory_create(Backend *b, size_t n_bytes, void **out);
void memory_destroy(Backend *b, void *p);
Status memory_ask(Backend *b, DeviceMemory *out);
Status memory_measuring(Backend *b, Backend *null);
Status staging_create(CudaState *s);
void staging_destroy(CudaState *s); /* also of a half-made one */
Status staging_upload(Backend *b, void *dst, const void *src, size_t n_bytes);
Status staging_download(Backend *b, void *dst, const void *src, size_t n_bytes);
void beside_destroy(Beside *g); /* also of a half-made one */
Status beside_fork(Backend *b, void **stream);
Status beside_join(Backend *b);
Status beside_waited(Backend *b, double *seconds);
Status cublas_check(cublasStatus_t s, const char *what);
bool cublas_refuses(cublasStatus_t s); /* it does not do this, as opposed to: it could not */
Status matmul_tables_create(CudaState *s); /* plans and choices */
void matmul_tables_free(CudaState *s);
MatmulPlan *matmul_plan(CudaState *s, const MatmulKey *key);      /* found or new */
void matmul_plan_free(const CudaState *s, MatmulPlan *p);        /* of what the library has made for it */
void matmul_forget(CudaState *s);                                /* all plans and choices */
MatmulChoice *matmul_choice(CudaState *s, const MatmulKey *key); /* found or new; NULL: there is no more room */
MatmulKey matmul_bucket(const MatmulKey *key);                   /* the largest shape that is chosen for together with this one */
Status matmul_any(KernelCtx *ctx, const Matmul *a); /* the operator, for others that are made of it */
/* C = scale · A·B + addend as the library has it, or without it; while a run is measured, what it would say. Completes the key. */
Status matmul_multiply(CudaState *s, MatmulKey *key, const MatmulOperands *o, double scale);
void plain_share_add(CudaState *s, const MatmulKey *key, bool plain);
void plain_share_tell(PlainShare *p);
Status matmul_plain(cudaStream_t stream, const MatmulKey *key, const MatmulOperands *o, float alpha);
/* The chosen algorithms as text, and back. */
Status choices_save(Backend *b, char **text);
Status choices_load(Backend *b, const char *text);
/* offers.cu */
Status offers_setting(double *flops); /* from how many FLOP on products are timed; never: infinity */
void offers_time(Backend *b, int offers);
/* The fastest of the offers for these operands; -1: the library refuses all of them. C is afterwards what it was, or is still to be
 * written. */
Status offers_fastest(CudaState *s, const MatmulPlan *p, const MatmulOperands *o, float alpha, const MatmulOffer *offers, int n,
                      int *fastest);
/* matmul.cu: C = alpha · A·B + addend by an algorithm. */
cublasStatus_t matmul_launch(CudaState *s, const MatmulPlan *p, const MatmulOperands *o, float alpha, const cublasLtMatmulAlgo_t *algo,
                             size_t workspace_bytes);
#endif
