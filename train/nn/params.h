/* params.h: the registry of weights. Each weight is declared once, in its model's file, under the checkpoint's published
 * name; the registry drives loading, counting, freezing, optimiser groups, the flat gradient, dumps and checkpoints. */
#ifndef GENLLAVA_TRAIN_NN_PARAMS_H
#define GENLLAVA_TRAIN_NN_PARAMS_H

#include "kernels/ops/table.h"
#include "train/nn/tensor.h"

/* What the weights of one part of a model have in common. */
typedef struct ParamGroup {
    const char *part; /* "llm", "projector", …: not copied */
    bool trainable;
    double lr;          /* before the schedule's factor */
    bool rounded;       /* frozen weights are rounded to BF16 */
    CodeFormat format;  /* … and of those that may be held in codes, in which (coded.h) */
    bool coded_in_file; /* their files hold such codes, but for those in float types, which stay so */
} ParamGroup;

/* A frozen matrix that is held in codes (kernels/ops/dequantize.h); t.data is then NULL. */
typedef struct Coded {
    CodeFormat format; /* CODES_NONE: it is not */
    void *codes, *scales;
} Coded;

/* Where a weight has been laid out beside others on purpose: those that touch there, and have equal rows, are multiplied as one matrix.
 * Addresses that touch otherwise mean nothing, for they depend on the allocator. */
typedef struct Laid {
    const void *by;        /* the Params (trainable weights, in the order they were declared), an Fp8, the files; NULL: nobody */
    const char *from, *to; /* in its memory; of a matrix in codes where it would be used in place, were it not in codes */
} Laid;

/* TRUNCATED: normal, redrawn beyond two of its standard deviations. */
typedef enum ParamInit { INIT_ZERO, INIT_ONE, INIT_NORMAL, INIT_UNIFORM, INIT_TRUNCATED } ParamInit;

typedef struct Param {
    char *name;      /* in dumps, as the contract spells it: "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", … */
    char *file_name; /* in the checkpoint it is loaded from and saved to; NULL: as name */
    ParamGroup group;
    bool trainable;
    bool decay;     /* weight decay applies: everything but biases and norm weights */
    ParamInit init; /* when there is no file: ± init_scale for uniform, std for normal */
    double init_scale;
    int64_t shape[TENSOR_MAX_DIMS]; /* as declared, and in files; that of t is the one in memory */
    bool channels_last;             /* declared [out,in,K,K], in memory [out,K,K,in] */
    Tensor t; /* what the model computes with. Frozen: in its file's type (F16 widened to F32) under f32 compute, else the
                 compute type. Trainable: the master itself under f32 compute, a BF16 copy under bf16 */
    Coded coded;
    Laid laid;
    struct Fp8 *fp8;        /* the matrix of 8 bits (fp8.h) that it becomes a part of as soon as it has values; NULL: none */
    bool mapped;            /* frozen, and t.data lies in a file that somebody holds open */
    const float *row_scale; /* t.data are codes of kernels/ops/fp8.h (t.type is U8) with these scales; NULL: numbers */
    int64_t ld;             /* elements from row to row of t.data when it lies in a joint.h; 0: rows one after the other */
    int64_t flat;           /* offset in the flat buffers; -1 when frozen */
    bool reached;           /* a gradient was written since params_step_begin; reset there */
    int64_t first_node;     /* the tape's number of the first node that reads it (tape_watch); -1: none so far. Whoever watches resets it */
    bool is_final;          /* nothing may be added to its gradient any more; reset with `reached` */
    int64_t updates;        /* AdamW's own count t of this tensor */
} Param;

enum { PARAMS_PAD = 16 }; /* elements: every tensor of the flat buffers begins at a cache line; what lies between is zero */

/* Declaring is possible until params_create; then pointers to Param are stable. */
typedef struct Params {
    Param **list;
    int n, capacity;
    int64_t n_flat; /* trainable elements, each tensor padded to a multiple of PARAMS_PAD */
    Backend *backend;
    DType compute;                                   /* F32, BF16 (F64 on ref) */
    DType master;                                    /* F32 (F64 on ref) */
    DType moments;                                   /* of flat_m and flat_v: as master, or BF16 when set so before params_create */
    ParamGroup group;                                /* of what is declared from now on */
    void *flat_master, *flat_grad, *flat_m, *flat_v; /* [n_flat] backend memory */
    void *flat_copy;                                 /* [n_flat] BF16 under bf16 compute, else NULL */
    struct ParamBlock *blocks;                       /* backend memory of frozen weights, owned */
    int n_blocks;
    int64_t held, held_most; /* bytes of backend memory, now and at most */
    int64_t besides;         /* bytes that are not the weights themselves */
    struct Joint *joints;    /* joint.h; owned */
    struct Fp8 *fp8s;        /* fp8.h; owned */
    bool failed;             /* a declaration ran out of memory */
    bool answers;            /* set before params_create: nothing will be learned, so there are no gradients and moments */
} Params;

void params_init(Params *p, Backend *backend, DType compute);
void params_destroy(Params *p);
/* Declares a weight of the present group; returns it (NULL when memory is exhausted: params_create then says so). */
typedef struct ParamSpec {
    const char *name;
    bool trainable; /* though its group may not be */
    bool decay;
    ParamInit init;
    double init_scale;
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    bool channels_last; /* a convolution's weight [out,in,K,K], for nn_conv2d */
    bool storable;      /* only nn_linear reads it: it may be held in codes */
} ParamSpec;
Param *params_declare(Params *p, const ParamSpec *spec);
Param *params_find(const Params *p, const char *name);
bool params_of(const Param *q, const char *part);
/* Places the trainable tensors in the flat buffers, in the order they were declared, and allocates them (zeroed). Frozen data is set by
 * whoever loads it. */
MUST_USE Status params_create(Params *p);
/* A frozen weight is `data` of `type` where it lies, for as long as the Params live, when that is possible (host memory, aligned, a type
 * the kernels take as it is); else a converted copy is made. Values of a trainable weight are copied always. */
MUST_USE Status params_place(Params *p, Param *q, const void *data, DType type);
/* Backend memory (zeroed) that lives as long as the Params, and an end to it before. */
MUST_USE Status params_memory(Params *p, size_t n_bytes, void **out);
void params_memory_release(Params *p, void *memory);
/* What they take: frozen weights and what is kept besides, masters with their copies, gradients, moments. mapped: of the frozen ones, in
 * files; pages: the memory of a host that these take when all of them are read. passing: how much more there was at a time while they got
 * their values. */
typedef struct ParamBytes {
    int64_t frozen, mapped, pages, masters, gradients, moments, passing;
} ParamBytes;
ParamBytes params_bytes(const Params *p);
/* True on the null backend: nothing has values, only sizes count. */
bool params_measuring(const Params *p);
/* Draws a weight as its init says: Philox keyed by (seed, RANDOM_INIT, hash of name). */
MUST_USE Status params_draw(Params *p, Param *q, uint64_t seed);
MUST_USE Status params_draw_part(Params *p, const char *part, uint64_t seed);
/* Copies rows [in,K,K] of elements of n_bytes in the order of files to rows [K,K,in] in that of memory, or back; rows of weights that are
 * not channels-last as they are. */
void params_to_memory(const Param *q, void *dst, const void *file, int64_t rows, size_t n_bytes);
void params_to_file(const Param *q, void *dst, const void *memory, int64_t rows, size_t n_bytes);
static inline int64_t param_row(const Param *q) { return q->shape[0] ? q->t.n_elems / q->shape[0] : 0; } /* elements */
/* Sets a weight's values from host memory of any float type (master and copy, or frozen data). Values have the order of files, here and
 * below. */
MUST_USE Status params_set(Params *p, Param *q, const void *host, DType type);
/* Reads a weight's master (or frozen) values as f32 into host memory [n_elems]. */
MUST_USE Status params_get(Params *p, const Param *q, float *host);
/* The first weight that holds a number which is not finite; NULL: none does. Reads all of them. */
MUST_USE Status params_find_not_finite(Params *p, const Param **found);
MUST_USE Status params_get_range(Params *p, const Param *q, int64_t at, int64_t n, float *host); /* elements at … at+n-1 */
/* Zeroes the flat gradient, every `reached` and every `is_final`. Micro-batches accumulate into the flat gradient until the next call. */
MUST_USE Status params_step_begin(Params *p);
#endif
