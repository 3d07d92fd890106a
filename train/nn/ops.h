/* ops.h: the differentiable operators models are written with. Forward and backward of each stand side by side in ops_*.c.
 *
 * Activations are [rows, cols] in the tape's compute type. Any NULL argument that is not said to be optional gives NULL: the first error
 * sticks in the tape. Parameters are given as Param; frozen ones cost no gradient. Arrays of ints are device memory (tape_ints) unless
 * said to be host.
 *
 * Any operator may read any tensor, as often and as late as it likes. Inside a block the tape knows beforehand who reads what (uses.c), and
 * lays memory out by that: what one operator alone reads may be overwritten by its result or its gradient, what is only added to something
 * is not kept, and rows have the room that adapters joined with their weights want behind them (joint.h). Outside of blocks every result
 * has memory of its own. */
#ifndef GENLLAVA_TRAIN_NN_OPS_H
#define GENLLAVA_TRAIN_NN_OPS_H

#include "train/nn/fp8.h"
#include "train/nn/joint.h"
#include "train/nn/params.h"
#include "train/nn/tape.h"

/* Host memory until tape_reset, zeroed: arguments of blocks, staging for uploads. */
void *tape_host(Tape *t, size_t n_bytes);
/* Copies host ints (NULL: only reserves) to the device; valid until tape_reset. */
const int32_t *tape_ints(Tape *t, const int32_t *host, int64_t n);
const uint8_t *tape_bytes(Tape *t, const uint8_t *host, int64_t n);
/* Host numbers (NULL: only reserves) as an activation [rows, cols], which nobody wants the gradient of. */
Tensor *nn_input(Tape *t, const float *host, int64_t rows, int64_t cols);

/* The unit of recompute (spec: ARCHITECTURE, differentiation). fn must be a function of in, arg and parameters alone, which calls the same
 * operators whenever it is called: it is walked once before it runs, without computing anything. arg and what it points to live until
 * tape_reset. RECOMPUTE_NONE keeps everything; SELECTIVE drops what is cheap (norms, activation functions) and computes it again in
 * backward; BLOCK keeps in[] alone. Results are bitwise equal, of any shape, and live as long as the step. Blocks inside blocks are part of
 * the outer one. */
typedef Tensor *(*BlockFn)(Tape *t, const void *arg, Tensor *const *in, int n);
Tensor *nn_block(Tape *t, BlockFn fn, const void *arg, Tensor *const *in, int n);
/* The same for a result as large as in[0], whose memory it takes when nobody wants its gradient and no backward reads in[0]: a stack of
 * such blocks needs the memory of one. Nothing may read in[0] afterwards: the tape fails when an operator does. */
Tensor *nn_block_inplace(Tape *t, BlockFn fn, const void *arg, Tensor *const *in, int n);

/* A loss in pieces: x is `items` groups of rows, fn gives the loss [1,1] of items at … at+n-1, whose rows are x, and the sum of these
 * losses is the result. Each piece (of `chunk` items) goes forward and backward before the next one and then frees its memory, so
 * tape_backward must be seeded with 1, and nn_chunks is refused inside of a block. */
typedef Tensor *(*ChunkFn)(Tape *t, const void *arg, Tensor *x, int64_t at, int64_t n);
Tensor *nn_chunks(Tape *t, Tensor *x, int64_t items, int64_t chunk, ChunkFn fn, const void *arg);

/* What fn gives, as f32 in host memory (NULL: not wanted): computed without gradients, and nothing of it stays behind. */
typedef Tensor *(*EvaluateFn)(Tape *t, const void *arg);
void nn_evaluate(Tape *t, EvaluateFn fn, const void *arg, float *to);

/* The packed rows of a pass. */
typedef struct PackedRows {
    int64_t n_rows, n_segments, max_segment;
    const int32_t *cu;         /* [n_segments+1] */
    const int32_t *pos, *item; /* [n_rows]; may be NULL where neither rope nor dropout is used */
    const int32_t *cu_host; /* cu in the host's memory until the pass has gone backwards, to count arithmetic; NULL where all are alike */
} PackedRows;

/* y = x Wᵀ + b + s·B(A·drop(x)), spec 7.1. Weight [out, …] whose last dimensions multiply to `in`. Dropout masks are keyed by
 * (seed, step, site) and counted by (column/8, pos, item), as kernels/ops/act.h says. */
typedef struct Linear {
    Param *w, *b;           /* b may be NULL */
    Param *lora_a, *lora_b; /* [r,in], [out,r]; both NULL: no adapter */
    double scale, dropout;
    uint64_t site;
    const Fp8 *fp8;     /* w as an operand of 8 bits, or NULL; set by fp8_declare */
    const Joint *joint; /* where w lies with what surrounds it, or NULL; set by joint_create */
    int64_t first, out; /* out > 0: rows first … first+out-1 of w and b alone, of a projection that packs several; without an adapter */
    bool b_stays; /* b gets no gradient. That of keys is zero, since a bias moves all scores of a query alike: rounding would move it */
} Linear;
/* n linears of the same x, their outputs side by side: [rows, Σ out]. Weights (adapters) that have been laid out one after the other are
 * multiplied as one matrix (Param.laid). rows: for dropout only, which happens only while the tape records. */
Tensor *nn_linear(Tape *t, Tensor *x, const Linear *lin, int n, const PackedRows *rows);
/* residual + one linear of x, in the same pass. */
Tensor *nn_linear_add(Tape *t, Tensor *x, const Linear *lin, const PackedRows *rows, Tensor *residual);

/* A convolution of images that are rows [images·height·width, in], kernels/ops/conv.h. w is a channels-last weight, declared
 * [out,in,K,K']; `top` … `right`: rows and columns of zeros around the images. */
typedef struct Conv {
    Param *w, *b; /* b may be NULL */
    int64_t stride, top, left, bottom, right;
} Conv;
/* The images that it makes of these. */
Plane nn_conv2d_to(const Conv *conv, Plane from);
/* conv(x) + shift of each image + add; shift [images, out] and add [rows of the result, out] may be NULL. *out (may be NULL): the images of
 * the result. */
Tensor *nn_conv2d(Tape *t, Tensor *x, Plane from, const Conv *conv, Tensor *shift, Tensor *add, Plane *out);

/* Windows of images to a pixel each, kernels/ops/pool.h. Of frozen networks: x must not want a gradient. */
typedef struct Pool {
    PoolKind kind;
    int64_t kernel_height, kernel_width, stride, around; /* around: rows and columns on each side that are not there */
} Pool;
Tensor *nn_pool2d(Tape *t, Tensor *x, Plane from, const Pool *pool, Plane *out);

/* y = norm(x + add); add may be NULL. *sum (may be NULL when add is) is x + add, which goes on as the residual. */
Tensor *nn_rmsnorm(Tape *t, Tensor *x, Tensor *add, Param *w, double eps, Tensor **sum);
Tensor *nn_layernorm(Tape *t, Tensor *x, Tensor *add, Param *w, Param *b, double eps, Tensor **sum);

/* x with heads [first, first+n) rotated (rows of heads side by side). */
typedef struct RopeSpec {
    int64_t first, n, head_dim;
    double base, factor; /* factor: positions are divided by it; 0: they are not */
} RopeSpec;
Tensor *nn_rope(Tape *t, Tensor *x, const RopeSpec *spec, const PackedRows *rows);

/* n segments of `length` rows each, without positions; NULL when memory is exhausted. */
const PackedRows *tape_segments(Tape *t, int64_t n, int64_t length);

/* Self-attention of packed segments. kqv [rows, (kv_heads + heads + kv_heads)·head_dim]: keys, queries, values side by side. */
typedef struct AttentionSpec {
    int64_t heads, kv_heads, head_dim, window;
    bool causal;
    double scale;
} AttentionSpec;
Tensor *nn_attention(Tape *t, Tensor *kqv, const AttentionSpec *spec, const PackedRows *rows);
/* Queries of segment s to the keys and values of segment s, of which there may be another number. q [rows_q, heads·head_dim];
 * kv [rows_k, 2·kv_heads·head_dim]: keys, values side by side. Causal only where rows_k is rows_q. */
Tensor *nn_cross_attention(Tape *t, Tensor *q, Tensor *kv, const AttentionSpec *spec, const PackedRows *rows_q, const PackedRows *rows_k);

/* nn_attention while generating (recording off), with a cache of keys and values [sequences, capacity, kv_heads, head_dim]: row i enters
 * its row to[i] (-1: none). Where a sequence begins, the rows are its positions from 0 on and see each other. Else row i is the newest
 * position of sequence i, which has length[i] by now; rows beyond the sequences get what row 0 gets. */
typedef struct KvLayer {
    int64_t sequences, capacity;
    void *k, *v;
    bool begins;
    const int32_t *to;     /* [rows] */
    const int32_t *length; /* [sequences] */
    const int32_t *first;  /* [rows - sequences], zeros; NULL where there are no more rows than sequences */
} KvLayer;
Tensor *nn_attention_cached(Tape *t, Tensor *kqv, const AttentionSpec *spec, const PackedRows *rows, const KvLayer *cache);

/* y = norm(x) of images of equally many rows, by `groups` neighbouring channels (Wu & He 2018); silu: SiLU of that. */
Tensor *nn_groupnorm(Tape *t, Tensor *x, int64_t images, Param *w, Param *b, int64_t groups, double eps, bool silu);

/* gu [rows, 2F]: gate and up side by side -> [rows, F] */
Tensor *nn_swiglu(Tape *t, Tensor *gu);
/* ag [rows, 2F]: value and gate side by side -> a·gelu(g) [rows, F] */
Tensor *nn_geglu(Tape *t, Tensor *ag);
Tensor *nn_act(Tape *t, Tensor *x, ActKind kind);

/* Token rows: row i is base[base_index[i]], or rows[rows_index[i]], or features[image_index[i]], whichever index is not negative. */
typedef struct EmbedSpec {
    int64_t n;
    Param *base, *rows; /* [V,D]; [R,D] or NULL */
    Tensor *features;   /* [*, D] or NULL */
    const int32_t *base_index, *rows_index, *image_index;
    bool rows_occur; /* some rows_index is not negative: only then is `rows` reached */
    bool base_occur;
} EmbedSpec;
Tensor *nn_embed(Tape *t, const EmbedSpec *spec);

/* Pixels u8 [images, Y, X, 3] to [images·patches, D]: spec 2.3, steps 1 and 2. b [D] and position [patches, D] may be NULL. */
typedef struct PatchSpec {
    int64_t images, height, width, patch;
    double rescale, mean[3], std[3];
    const uint8_t *pixels;
} PatchSpec;
Tensor *nn_patch_embed(Tape *t, const PatchSpec *spec, Param *w, Param *b, Param *position);

/* x[index[i]], i < n. Rows may repeat: their gradients are added in the order of i. */
Tensor *nn_gather_rows(Tape *t, Tensor *x, const int32_t *index, int64_t n);
/* The rows of a, then those of b. */
Tensor *nn_stack(Tape *t, Tensor *a, Tensor *b);

/* Columns side by side: [rows, Ca] and [rows, Cb] -> [rows, Ca+Cb]. */
Tensor *nn_concat(Tape *t, Tensor *a, Tensor *b);
/* Nearest neighbour: pixel (i, j) from (⌊i·from.height/to.height⌋, ⌊j·from.width/to.width⌋). */
Tensor *nn_upsample(Tape *t, Tensor *x, Plane from, Plane to);

/* loss = scale·Σ_i weight[i]·ce_i over the rows of hs [n,D], logits = hs·[head; rows]ᵀ in chunks, never whole. All arrays are host
 * memory and may be NULL on a measuring tape. The gradients of head and rows are written during the forward, so it is refused inside of a
 * block, and tape_backward must be seeded with 1 when they train. */
typedef struct LmLoss {
    int64_t n;
    Param *head, *rows;   /* [V,D]; [R,D] or NULL */
    const int32_t *label; /* [n] */
    const float *weight;  /* [n] */
    double scale;
    int64_t chunk;       /* rows whose logits exist at one time; 0: chosen by size */
    float *logits;       /* [n, V+R], filled when not NULL */
    double *total;       /* F64, backend memory: Σ weight·ce is added to it; NULL: it is waited for and … */
    double weighted_sum; /* out: … is here */
} LmLoss;
Tensor *nn_lm_loss(Tape *t, Tensor *hs, LmLoss *arg);
/* The values of x into host memory [rows, cols] as f32. */
void nn_values(Tape *t, Tensor *x, float *host);
/* Logits of hs [n,D] into host memory [n, V+R] as f32. */
Status nn_logits(Tape *t, Tensor *hs, Param *head, Param *rows, float *logits);

/* loss = scale·Σ_i weight[i]·l_i over items of equally many rows of u and of the target v (host; NULL: on a measuring tape), which has
 * u's shape and is not rounded to the compute type. MSE: l the mean of (u-v)² over all elements; L2NORM: of ‖u_r-v_r‖₂ over the rows
 * (kernels/ops/loss.h). Refused inside of a block, as nn_lm_loss is. */
typedef struct DifferenceLoss {
    DifferenceKind kind;
    int64_t items;
    const float *weight; /* [items], host; may be NULL on a measuring tape */
    double scale;
    double *total;       /* as of LmLoss: F64, backend memory, Σ weight·l is added to it; NULL: it is waited for and … */
    double weighted_sum; /* out: … is here */
} DifferenceLoss;
Tensor *nn_difference_loss(Tape *t, Tensor *u, const float *target, DifferenceLoss *arg);
#endif
