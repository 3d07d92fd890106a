/* table.h: the list of operators. From this one list come the table of function pointers, the null backend, and the tests' check that every
 * operator has test rows.
 *
 * A new operator: a contract in its family's header, its cost (cost.c), a line here, and its function in ref. From then on cpu runs it as
 * ref has it, and cuda refuses it by name. A backend that gets a kernel for it sets a pointer at the end of the family's file. The tests
 * hold lists of what is left open (tests/kernels/cpu.c, tests/cuda_host/gaps.h). */
#ifndef GENLLAVA_KERNELS_OPS_TABLE_H
#define GENLLAVA_KERNELS_OPS_TABLE_H

#include "kernels/ops/act.h"
#include "kernels/ops/adapter.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/conv.h"
#include "kernels/ops/dequantize.h"
#include "kernels/ops/fp8.h"
#include "kernels/ops/loss.h"
#include "kernels/ops/matmul.h"
#include "kernels/ops/norm.h"
#include "kernels/ops/optim.h"
#include "kernels/ops/pool.h"
#include "kernels/ops/rope.h"
#include "kernels/ops/rows.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(operator, argument struct) */
#define KERNEL_LIST(X)                     \
    X(matmul, Matmul)                      \
    X(column_sum, ColumnSum)               \
    X(dequantize, Dequantize)              \
    X(quantize_rows, QuantizeRows)         \
    X(matmul_fp8, MatmulFp8)               \
    X(rmsnorm_fwd, RmsNormFwd)             \
    X(rmsnorm_bwd, RmsNormBwd)             \
    X(layernorm_fwd, LayerNormFwd)         \
    X(layernorm_bwd, LayerNormBwd)         \
    X(groupnorm_fwd, GroupNormFwd)         \
    X(groupnorm_bwd, GroupNormBwd)         \
    X(glu_fwd, GluFwd)                     \
    X(glu_bwd, GluBwd)                     \
    X(act_fwd, ActFwd)                     \
    X(act_bwd, ActBwd)                     \
    X(add_scaled, AddScaled)               \
    X(dropout, Dropout)                    \
    X(adapter_down, AdapterDown)           \
    X(adapter_down_grad, AdapterDownGrad)  \
    X(adapter_down_bwd, AdapterDownBwd)    \
    X(adapter_up_bwd, AdapterUpBwd)        \
    X(rope, Rope)                          \
    X(attention_fwd, AttentionFwd)         \
    X(attention_bwd, AttentionBwd)         \
    X(attention_decode, AttentionDecode)   \
    X(conv2d_fwd, Conv2dFwd)               \
    X(conv2d_dx, Conv2dDx)                 \
    X(conv2d_dw, Conv2dDw)                 \
    X(pool2d_fwd, Pool2dFwd)               \
    X(rows_gather, RowsGather)             \
    X(rows_scatter, RowsScatter)           \
    X(patchify, Patchify)                  \
    X(add_rows, AddRows)                   \
    X(add_rows_bwd, AddRowsBwd)            \
    X(upsample_fwd, UpsampleFwd)           \
    X(upsample_bwd, UpsampleBwd)           \
    X(cross_entropy, CrossEntropy)         \
    X(weighted_sum, WeightedSum)           \
    X(difference_fwd, DifferenceFwd)       \
    X(difference_bwd, DifferenceBwd)       \
    X(adamw, Adamw)                        \
    X(sum_squares, SumSquares)             \
    X(fill, Fill)

typedef struct KernelTable {
#define KERNEL_MEMBER(name, Args) Status (*name)(KernelCtx * ctx, const Args *args);
    KERNEL_LIST(KERNEL_MEMBER)
#undef KERNEL_MEMBER
} KernelTable;

/* Memory of a device that is not the host's. */
typedef struct DeviceMemory {
    size_t total, available; /* bytes: of the device; free now, or already the backend's own */
    size_t own;              /* what the backend takes for itself: staging, workspaces of libraries and of the operators measured so far */
    size_t host;             /* … and of the host's memory */
} DeviceMemory;

enum { ROWS_ALIKE = 8 };

/* A backend: a table and the memory it works on. Opened once, closed at the end. */
typedef struct Backend {
    const char *name; /* "ref", "cpu", "cuda", "null" */
    KernelTable ops;
    KernelCtx ctx;       /* ctx.device is the backend's; the caller sets ctx.scratch before the first operator that needs it */
    bool native_bf16;    /* multiplies bf16 natively: what train.compute = auto asks */
    bool multiplies_fp8; /* matmul_fp8 is worth calling: what model.llm.multiply = fp8 asks. Not on GPUs whose tensor cores lack it */
    bool joins;          /* its matmul gains when a second product lies where it continues the first (matmul.h) */
    bool rows_alike;     /* up to ROWS_ALIKE rows times a Linear's weight: a row's sums are the same however many rows there are */
    size_t tile_bytes;   /* of a Linear's weight that stay in its caches: y is the same to the bit by so many rows at a time. 0: whole */
    bool host_memory;    /* its memory can be read and written by the CPU directly */
    void *stream;        /* cudaStream_t: operators and copies happen in its order, and so does what others enqueue on it. NULL: at once */
    char description[160];  /* for people: processor or GPU, instruction set, threads */
    char kind[256];         /* what its bits depend on besides the program: instruction set; GPU and libraries */
    unsigned char unit[16]; /* which device of all there are; zeros where there is but one */
    Status (*mem_create)(struct Backend *b, size_t n_bytes, void **out); /* zeroed device memory */
    void (*mem_destroy)(struct Backend *b, void *p);
    Status (*upload)(struct Backend *b, void *dst, const void *src, size_t n_bytes);   /* host to device, ordered */
    Status (*download)(struct Backend *b, void *dst, const void *src, size_t n_bytes); /* device to host, complete on return */
    void (*close)(struct Backend *b);
    /* NULL in backends without a second stream. What is enqueued on *stream from here on comes after what b was asked so far, and beside
     * what it is asked next … */
    Status (*fork)(struct Backend *b, void **stream);
    /* … up to here: the rest comes after all of it. */
    Status (*join)(struct Backend *b);
    /* Seconds in which b itself had nothing to do from the last fork to the join; 0 where there was none since the last call. For callers
     * that have waited for what came after it. */
    Status (*waited)(struct Backend *b, double *seconds);
    /* NULL in backends that have nothing to say. The host's own says it while it measures, of `own` alone. */
    Status (*memory)(struct Backend *b, DeviceMemory *out);
    /* opens a null backend whose operators tell b what b's would need besides their arguments; to be closed before b */
    Status (*measure)(struct Backend *b, struct Backend *null);
    /* what was chosen for this device so far (lines of text, mem_free them), to be kept with the run … */
    Status (*choices)(struct Backend *b, char **text);
    /* … and told again when it is resumed, in place of what was chosen before; what does not fit is chosen anew, which is said. Where all
     * of it is for this device, nothing is timed any more … */
    Status (*choose)(struct Backend *b, const char *text);
    /* For from here on a choice is that of the fastest of up to so many offers, by the clock; 0, as in the beginning: of the first, which
     * is the same each time. A run times in its first step, so that what it keeps decides about all others */
    void (*time_choices)(struct Backend *b, int offers);
} Backend;

MUST_USE Status ref_open(Backend *b);       /* arithmetic in double; F64, F32, BF16 arrays */
MUST_USE Status ref_float_open(Backend *b); /* the same source with arithmetic in float: how much rounding is honest */
MUST_USE Status cpu_open(Backend *b);
void cpu_name_sets(char *out, size_t n); /* the sets of kernels that this processor can run, from the plainest to the one that is taken */
/* Device number `device` of those that are visible, counted round: a launcher may show each process one. Linked where the CUDA toolkit was
 * found, or in the tests' emulation. */
MUST_USE Status cuda_open(Backend *b, int device);
/* The version of cuDNN, where there is one that is used; else nothing is written. No device is opened. */
void cuda_name_cudnn(char *out, size_t n);
void cuda_name_cublas(char *out, size_t n); /* the same of cuBLASLt */
MUST_USE Status null_open(Backend *b);      /* every operator returns OK and touches nothing; mem_create gives addresses and no memory */

#ifdef __cplusplus
}
#endif
#endif
