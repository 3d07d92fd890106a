/* node.h: what operators see of the tape. For train/nn only; models use ops.h.
 *
 * An operator: say what it reads (tape_reads, for every input) and trains (tape_trains, for every parameter); check shapes; take the output
 * (tape_output); run kernels (RUN); if tape_node gives a node, fill it in and say which data its backward reads (tape_need). Its backward:
 * read the gradient of the output (NULL: nobody asked, done), ask grad_dst for each input, run kernels. What a backward takes with grad_dst
 * outlives it, so it asks for all of them before it marks scratch for temporaries. */
#ifndef GENLLAVA_TRAIN_NN_NODE_H
#define GENLLAVA_TRAIN_NN_NODE_H

#include "train/nn/params.h"
#include "train/nn/tape.h"

struct Node {
    NodeBackward backward;
    NodeBackward remake; /* computes out->data again; only nodes whose output is PLACE_CHEAP have it */
    NodeBackward late;   /* what is left to do when the tensor it waits for is there */
    Node *prev, *next, *late_next;
    Tensor *out;
    int64_t number;
};

/* How an operator reads an input. */
typedef enum Reading {
    READ_PLAIN,
    READ_ADDED,    /* it is only added to something: no backward reads its data for that */
    READ_IN_PLACE, /* the result would take its memory */
    READ_REPLACED  /* the gradient would take its memory */
} Reading;

/* What the function of a block does with a tensor that it makes. It is known before the tensor is made: every block is walked once without
 * memory and without kernels (uses.c), and its tensors come in the same order when it runs. */
typedef struct Uses {
    struct Uses *next;
    int64_t rows, cols;
    int readers;  /* operators */
    Reading how;  /* of the last one */
    int needs;    /* backwards that read its data */
    int64_t room; /* columns that a reader wants behind its rows */
} Uses;

/* The operators of a block that train a parameter. */
typedef struct ParamUse {
    struct ParamUse *next;
    const Param *param;
    int readers;
} ParamUse;

typedef struct NodeList {
    Node *head, *tail;
} NodeList;

/* Of the tape's host memory. */
typedef struct HostChunk HostChunk;
typedef struct HostMark {
    HostChunk *chunk;
    size_t used;
} HostMark;

struct Tape {
    Backend *backend;
    Arena *keep, *scratch;
    DType compute;
    Recompute recompute;
    uint64_t seed, step;
    Status status;
    bool winograd;     /* convolutions may be computed so */
    bool record;       /* gradients will be asked for */
    bool nodes;        /* nodes are being recorded (not in the first run of a block that is recomputed) */
    bool store;        /* inside a block: outputs go to keep */
    int depth;         /* 1 inside a block */
    double seed_value; /* of the running tape_backward */
    double flops;      /* since they were last taken */
    NodeList list;
    int64_t n_nodes; /* ever made */
    TapeWatch watch; /* NULL: nobody wants to know */
    void *watch_arg;
    Uses *uses;                    /* of the tensors that the running block has yet to make; while it is walked: of all so far */
    ParamUse *params;              /* … of the block that was walked last */
    bool walking, again;           /* a block's function is walked; run once more for its backward */
    Backend nothing;               /* what it is walked on */
    const int32_t *index;          /* 0, 1, … n_index-1, as long as the step */
    int64_t n_index, index_wanted; /* wanted: by the block that was walked last */
    ArenaMark keep_start, scratch_start;
    HostChunk *host, *host_now;
};

/* Where an output lives inside a block (outside: always keep). */
typedef enum Place {
    PLACE_KEEP,     /* some backward reads it */
    PLACE_CHEAP,    /* … but computing it again is cheap: kept only with RECOMPUTE_NONE */
    PLACE_TRANSIENT /* no backward reads it */
} Place;

/* Says that operator `op` reads x. False: x is NULL, or the tape has failed. */
bool tape_reads(Tape *t, const char *op, Tensor *x, Reading how);
/* Says that the operator, as the only reader of x, would put `room` columns behind its rows. */
void tape_wants_room(const Tape *t, const Tensor *x, int64_t room);
/* The only reader of x, which is made in this block, is one that reads so. */
bool tape_read_only(const Tensor *x, Reading how);

/* Says that an operator trains p, if anything does (NULL is fine); and whether it is the only one of the block. */
void tape_trains(Tape *t, Param *p);
bool tape_trains_once(const Tape *t, const Param *p);

/* A new [rows, cols] in the compute type. needs_grad: some input needs one. */
Tensor *tape_output(Tape *t, int64_t rows, int64_t cols, bool needs_grad, Place place);
/* With room behind its rows. */
Tensor *tape_output_apart(Tape *t, int64_t rows, int64_t cols, int64_t room, bool needs_grad, Place place);
/* The uses of the next output (none outside of blocks), and the room that its reader wants, if it is the only one. */
Uses tape_next_uses(const Tape *t);
int64_t tape_room(const Tape *t);
size_t tape_tensor_size(const Tape *t, const Tensor *x); /* bytes of its data */
/* A tensor with the data of x, of which an operator in place is the only reader; gradients are its own. */
Tensor *tape_alias(Tape *t, const Tensor *x);
/* 0 … n-1 on the device, as long as the step. In a walk (NULL) it is noted that the block will ask for it: it is made before the block
 * runs. */
const int32_t *tape_index(Tape *t, int64_t n);
void *tape_save(Tape *t, size_t n_bytes);                     /* device memory that lives as long as a PLACE_KEEP output */
void *tape_keep(Tape *t, size_t n_bytes);                     /* … as long as the step */
void *tape_temp(Tape *t, size_t n_bytes);                     /* … until the caller releases scratch to its mark */
void *tape_upload(Tape *t, const void *host, size_t n_bytes); /* … as the step; host NULL: reserved only */
void tape_numbers(Tape *t, void *to, DType type, const float *from, int64_t n); /* host numbers to device memory, as `type` */
void tape_download(Tape *t, float *to, const void *from, int64_t n);            /* n elements of the compute type, as f32 */
void *tape_node(Tape *t, size_t size, NodeBackward backward, Tensor *out);      /* NULL when nothing is recorded */
size_t tape_size(const Tape *t, int64_t n_elems);                               /* bytes of n_elems in the compute type */
static inline DType tape_stat_type(const Tape *t) { return t->compute == F64 ? F64 : F32; }
/* Says, while recording, that x->data will be read by a backward. */
void tape_need(Tape *t, Tensor *x);

/* The same for reads that can wait until x's own operator has gone backwards, if that gives x->data again. */
void tape_need_late(Tape *t, Tensor *x);
/* True when x->data is not there yet: `late` runs as soon as it is; what it needs must live as long as the block. */
bool tape_wait(Tape *t, Tensor *x, Node *self, NodeBackward late);
/* For operators whose backward gives their output again: where it goes until the caller releases scratch to its mark (NULL: not wanted),
 * and then what waited for it. */
void *tape_again(Tape *t, Tensor *out);
void tape_arrived(Tape *t, Tensor *out);

/* Where the gradient of x goes: NULL when nobody wants it; *accumulate: add to what is there. A parameter is reached from then on. */
void *grad_dst(Tape *t, Tensor *x, bool *accumulate);
/* For writers that mind tensor_grad_ld(x); for all others the rows of a gradient lie one after the other. */
void *grad_dst_apart(Tape *t, Tensor *x, bool *accumulate);
/* Same for writers that touch only some elements: what they do not write is zero (or there already), so they always accumulate. They mind
 * tensor_grad_ld(x). */
void *grad_dst_partial(Tape *t, Tensor *x);
/* dx (+)= the gradient of y, by sharing memory where the lifetimes allow. Memory stays shared until somebody would write to it while
 * another's gradient in it is still to be read: then the writer's is copied first. */
void grad_share(Tape *t, Tensor *x, Tensor *y);
/* x += `more` [rows, cols], for backwards that cannot accumulate. */
void grad_add(Tape *t, Tensor *x, const void *more);
/* For backwards that write to the gradient they read: it is then nobody else's. */
void grad_own(Tape *t, Tensor *y);
/* Nobody will read the gradient of y: its operator has gone backwards. The tape says so for the outputs of nodes. */
void grad_done(Tensor *y);
/* What lies behind the rows of y's gradient may be written: nobody will read what another has put there. */
bool grad_room_is_free(const Tensor *y);
/* dx is the memory `data`, already filled (an operator in place), with `room` behind its rows. x must not have a gradient yet. */
void grad_adopt(Tape *t, Tensor *x, void *data, uint8_t depth, int64_t room);
/* The gradient of an operator's output, or NULL; _apart for operators that mind tensor_grad_ld(y). */
const void *grad_of(Tape *t, Tensor *y);
static inline const void *grad_of_apart(const Tensor *y) { return y->grad_written ? y->grad : NULL; }
bool tensor_wants(const Tensor *x); /* NULL is fine */

/* For block.c. Nodes are run from `last` in reverse. */
HostMark tape_host_mark(const Tape *t);
void tape_host_release(Tape *t, HostMark m);
void tape_link(Tape *t, Node *node); /* appends it to the list */
Status tape_run_backward(Tape *t, Node *last);
/* For blocks and their walk (uses.c): the uses of what a tensor of this shape, made next, is for. */
Uses *tape_take_uses(Tape *t, int64_t rows, int64_t cols);

#define TAPE_RUN_DECLARE(name, Args) Status tape_run_##name(Tape *t, const Args *a);
KERNEL_LIST(TAPE_RUN_DECLARE)
#undef TAPE_RUN_DECLARE
/* RUN(t, rope, Rope, .rows = …): calls a kernel unless the tape has failed, and counts its arithmetic. */
#define RUN(t, op, Args, ...) ((t)->status ? (t)->status : tape_run_##op(t, &(Args){__VA_ARGS__}))
#endif
