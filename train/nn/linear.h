/* linear.h: what ops_linear.c, adapters.c and fp8.c share: linears of the same input, what their adapters add, and products of 8 bits. */
#ifndef GENLLAVA_TRAIN_NN_LINEAR_H
#define GENLLAVA_TRAIN_NN_LINEAR_H

#include "train/nn/fp8.h"
#include "train/nn/node.h"
#include "train/nn/ops.h"

enum { MAX_LINEARS = ADAPTERS_MAX };

/* A matrix inside a wider one. */
typedef struct Part {
    void *data;
    int64_t ld;
} Part;

typedef struct LinearNode {
    Node node;
    Tensor *x, *residual; /* residual: NULL, or added to the output */
    Linear lin[MAX_LINEARS];
    int n;
    const PackedRows *rows;
    void *u; /* [rows, Σ r]: s·A·drop(x); NULL: in the room behind x */
    bool reads_x;
    bool up_done; /* dB came with du */
    Part du;      /* [rows, Σ r]: s·dy B, of the backward */
} LinearNode;

static inline int64_t linear_out(const Linear *l) { return l->out ? l->out : l->w->t.shape[0]; }
static inline int64_t linear_rank(const Linear *l) { return l->lora_a ? l->lora_a->t.shape[0] : 0; }
static inline int64_t linear_total(const Linear *lin, int n, int64_t (*size)(const Linear *))
{
    int64_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += size(&lin[i]);
    return sum;
}
/* How many linears from lin[i] on can be multiplied as one matrix: they have been laid out one behind the other (Param.laid). */
int linear_run(const Linear *lin, int i, int n);
/* Gradient of stacked weights: dW (+)= dyᵀ x, dy [m, rows of W] with stride ldy. */
void linear_weight_grad(Tape *t, void *dw, bool accumulate, DType dw_type, int64_t out, int64_t in, int64_t m, const void *dy, int64_t ldy,
                        const void *x, int64_t ldx);

/* The product whose B is the weights of lin[0 … n-1], one below the other, held in codes (coded.h). */
void coded_product(Tape *t, const Linear *lin, int n, const Matmul *product);

/* Some adapter reads x with dropout: then all of them go through kernels/ops/adapter.h. */
bool adapters_drop(const Linear *lin, int n);
/* The first adapter among lin[i … i+run-1], when all of them are one matrix A: without dropout, dx is then dy W + du A in one product. */
const Linear *adapters_as_one(const Linear *lin, int i, int run);
/* u = s·A·drop(x) of every adapter, side by side. */
void adapters_down(Tape *t, const Linear *lin, int n, const PackedRows *rows, const Tensor *x, Part u);
/* Keeps the u, r columns wide, behind an x that will be dropped: it is short, and reading all of x again is not. NULL: it stays where it
 * is. */
void *adapters_keep(Tape *t, const Tensor *x, Part u, int64_t r);
/* du = s·dy B of every adapter, side by side; of small ranks also dB = dyᵀ u, on backends that gain by it: dy is read once. */
void adapters_up_bwd(Tape *t, LinearNode *s, const char *dy, int64_t ldy, Part du);
/* dx (+)= drop'(du A) of the adapters that adapters_as_one leaves out. */
void adapters_down_bwd(Tape *t, LinearNode *s, Part du, void *dx, bool *accumulate);
/* dA and dB of what trains. */
void adapters_grads(Tape *t, LinearNode *s, const char *dy, int64_t ldy);

/* The 8-bit weights of exactly these linears (fp8.h), or NULL. */
const Fp8 *fp8_of(const Linear *lin, int n);
/* y = x W8ᵀ + u Bᵀ (+ residual) */
void fp8_fwd(Tape *t, const Fp8 *f, const Linear *lin, const Tensor *x, Part u, const void *residual, Tensor *y);
/* dx (+)= dy W8T, and without dropout du A with it where adapters_as_one says so. */
void fp8_input_grad(Tape *t, const Fp8 *f, const LinearNode *s, const char *dy, int64_t ldy, Part du, void *dx, bool *accumulate);
#endif
