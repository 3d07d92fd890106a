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

/* The shape described as cuBLASLt wants it, with the algorithm chosen for it. */
struct MatmulPlan {
    MatmulKey key;
    bool ready; /* described, and the algorithm may be used */
    bool kept;  /* the algorithm came with the run and has not been tried yet */
    bool plain; /* the library has no algorithm that may be used: matmul_plain */
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

enum { MATMUL_PLANS = 512, MATMUL_SLOTS = 2 * MATMUL_PLANS, MATMUL_WORKSPACE = 32 << 20 };

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
    MatmulPlan *plans; /* in the order in which the shapes came */
    int n_plans;
    uint16_t plan_slots[MATMUL_SLOTS]; /* finds a plan by its key */
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
void matmul_plans_free(CudaState *s);
MatmulPlan *matmul_plan(CudaState *s, const MatmulKey *key); /* found or new */
Status matmul_any(KernelCtx *ctx, const Matmul *a); /* the operator, for others that are made of it */
/* C = scale · A·B + addend as the library has it, or without it; while a run is measured, what it would say. Completes the key. */
Status matmul_multiply(CudaState *s, MatmulKey *key, const MatmulOperands *o, double scale);
void plain_share_add(CudaState *s, const MatmulKey *key, bool plain);
void plain_share_tell(PlainShare *p);
Status matmul_plain(cudaStream_t stream, const MatmulKey *key, const MatmulOperands *o, float alpha);
/* The chosen algorithms as text, and back. */
Status choices_save(Backend *b, char **text);
Status choices_load(Backend *b, const char *text);
#endif
