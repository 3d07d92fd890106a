/* The tape itself: its memory, its tensors and its list of nodes. Gradients are in grad.c, blocks in block.c and uses.c. */
#include "train/nn/tape.h"

#include <stdalign.h>

#include "train/nn/node.h"
#include "train/nn/ops.h"

/* ---------------------------------------------------------------- host memory: nodes, tensors, staging; bumped, reused every step */

enum { HOST_CHUNK = 1 << 18 };

struct HostChunk {
    HostChunk *next;
    size_t used, capacity;
    alignas(64) char data[];
};

HostMark tape_host_mark(const Tape *t) { return (HostMark){t->host_now, t->host_now ? t->host_now->used : 0}; }

void tape_host_release(Tape *t, HostMark m)
{
    HostChunk *first = m.chunk ? m.chunk : t->host;
    for (HostChunk *c = first; c; c = c->next)
        c->used = c == m.chunk ? m.used : 0;
    t->host_now = first;
}

void *tape_host(Tape *t, size_t n_bytes)
{
    n_bytes = (n_bytes + 63) & ~(size_t)63;
    HostChunk *c = t->host_now;
    while (c && c->capacity - c->used < n_bytes && c->next)
        c = c->next;
    if (!c || c->capacity - c->used < n_bytes) {
        size_t capacity = n_bytes > HOST_CHUNK ? n_bytes : HOST_CHUNK;
        HostChunk *fresh = mem_alloc(sizeof *fresh + capacity);
        if (!fresh) {
            tape_fail(t, fail(ERR_NOMEM, "tape: no memory for %zu bytes of nodes", n_bytes));
            return NULL;
        }
        fresh->capacity = capacity;
        *(c ? &c->next : &t->host) = fresh;
        c = fresh;
    }
    t->host_now = c;
    void *p = c->data + c->used;
    c->used += n_bytes;
    memset(p, 0, n_bytes);
    return p;
}

/* ---------------------------------------------------------------- life */

Status tape_create(Tape **out, const TapeOptions *opt)
{
    *out = NULL;
    Tape *t = mem_alloc(sizeof *t);
    if (!t)
        return fail(ERR_NOMEM, "tape: no memory");
    *t = (Tape){.backend = opt->backend,
                .keep = opt->keep,
                .scratch = opt->scratch,
                .compute = opt->compute,
                .recompute = opt->recompute,
                .seed = opt->seed,
                .step = opt->step,
                .winograd = opt->winograd,
                .record = true,
                .nodes = true,
                .keep_start = arena_mark(opt->keep),
                .scratch_start = arena_mark(opt->scratch)};
    Status s = null_open(&t->nothing);
    if (s)
        tape_free(&t);
    *out = t;
    return s;
}

void tape_free(Tape **t)
{
    if (!*t)
        return;
    for (HostChunk *c = (*t)->host, *next; c; c = next) {
        next = c->next;
        mem_free(c);
    }
    if ((*t)->nothing.close)
        (*t)->nothing.close(&(*t)->nothing);
    mem_free(*t);
    *t = NULL;
}

void tape_reset(Tape *t, uint64_t step)
{
    tape_host_release(t, (HostMark){0});
    arena_release(t->keep, t->keep_start);
    arena_release(t->scratch, t->scratch_start);
    t->list = (NodeList){0};
    t->status = OK;
    t->record = t->nodes = true;
    t->step = step;
    t->n_index = 0;
    t->watch = NULL;
}

bool tape_record(Tape *t, bool on)
{
    bool was = t->record;
    t->record = t->nodes = on;
    return was;
}

bool tape_records(const Tape *t) { return t->record; }

uint64_t tape_key(const Tape *t, RandomPurpose purpose, uint64_t where) { return philox_key(t->seed, purpose, t->step, where); }

Status tape_status(const Tape *t) { return t->status; }

Status tape_fail(Tape *t, Status s)
{
    if (!t->status)
        t->status = s;
    return t->status;
}

/* ---------------------------------------------------------------- memory */

size_t tape_size(const Tape *t, int64_t n_elems) { return (size_t)n_elems * dtype_size(t->compute); }

static void *push(Tape *t, Arena *arena, size_t n_bytes)
{
    if (t->status)
        return NULL;
    void *p = arena_push(arena, n_bytes);
    if (!p)
        tape_fail(t, fail(ERR_NOMEM,
                          "%zu bytes are wanted of the arena \"%s\" and %zu of its %zu are left: the plan of memory counted too few, "
                          "which is an error of this program; please report it",
                          n_bytes, arena == t->keep ? "keep" : "scratch", arena->capacity - arena->used, arena->capacity));
    return p;
}

static bool in_keep(const Tape *t) { return !t->depth || t->store; }
void *tape_save(Tape *t, size_t n_bytes) { return push(t, in_keep(t) ? t->keep : t->scratch, n_bytes); }
void *tape_keep(Tape *t, size_t n_bytes) { return push(t, t->keep, n_bytes); }
void *tape_temp(Tape *t, size_t n_bytes) { return push(t, t->scratch, n_bytes); }

void *tape_upload(Tape *t, const void *host, size_t n_bytes)
{
    void *p = tape_keep(t, n_bytes);
    if (p && host && n_bytes)
        tape_fail(t, t->backend->upload(t->backend, p, host, n_bytes));
    return t->status ? NULL : p;
}

const int32_t *tape_index(Tape *t, int64_t n)
{
    if (t->walking) {
        t->index_wanted = n > t->index_wanted ? n : t->index_wanted;
        return NULL;
    }
    if (t->n_index >= n)
        return t->index;
    int32_t *host = tape_host(t, (size_t)n * sizeof *host);
    for (int64_t i = 0; host && i < n; i++)
        host[i] = (int32_t)i;
    t->index = host ? tape_ints(t, host, n) : NULL;
    t->n_index = t->index ? n : 0;
    return t->index;
}

size_t tape_tensor_size(const Tape *t, const Tensor *x) { return tape_size(t, tensor_rows(x) * tensor_ld(x)); }

Tensor *tape_output(Tape *t, int64_t rows, int64_t cols, bool needs_grad, Place place)
{
    return tape_output_apart(t, rows, cols, 0, needs_grad, place);
}

Tensor *tape_output_apart(Tape *t, int64_t rows, int64_t cols, int64_t room, bool needs_grad, Place place)
{
    Tensor *x = t->status ? NULL : tape_host(t, sizeof *x);
    if (!x)
        return NULL;
    *x = (Tensor){.type = t->compute,
                  .grad_type = t->compute,
                  .n_dims = 2,
                  .shape = {rows, cols},
                  .n_elems = rows * cols,
                  .room = room,
                  .needs_grad = needs_grad && t->record,
                  .depth = (uint8_t)t->depth};
    /* Only what has a node can be made again: the norm of a frozen input has none, though an adapter's backward reads it. */
    bool cheap = place == PLACE_CHEAP && t->recompute != RECOMPUTE_NONE && x->needs_grad;
    x->uses = tape_take_uses(t, rows, cols);
    x->cheap = place == PLACE_CHEAP && x->needs_grad && t->depth;
    bool drop = t->depth && (place == PLACE_TRANSIENT || cheap);
    x->in_scratch = !in_keep(t) || drop;
    x->remade = in_keep(t) && cheap && drop;
    x->data = push(t, x->in_scratch ? t->scratch : t->keep, tape_tensor_size(t, x));
    return x->data ? x : NULL;
}

Tensor *tape_alias(Tape *t, const Tensor *x)
{
    Tensor *y = t->status ? NULL : tape_host(t, sizeof *y);
    if (!y)
        return NULL;
    *y = *x;
    y->grad = NULL;
    y->grad_written = y->cheap = y->remade = y->again = y->needed_late = y->read = false;
    y->uses = tape_take_uses(t, tensor_rows(x), tensor_cols(x));
    return y;
}

void tape_need(Tape *t, Tensor *x)
{
    if (!t->nodes || t->status)
        return;
    if (x->in_scratch && t->store && !x->remade)
        tape_fail(t, fail(ERR_INTERNAL, "tape: a backward reads a tensor [%lld, %lld] that was said to be only added",
                          (long long)tensor_rows(x), (long long)tensor_cols(x)));
    x->needed = true;
    if (t->walking && x->uses)
        x->uses->needs++;
}

void tape_need_late(Tape *t, Tensor *x)
{
    if (x->remade && x->again)
        x->needed_late |= t->nodes;
    else
        tape_need(t, x);
}

/* Dropped, and nobody needs it before its operator's backward. */
static bool comes_late(const Tensor *x) { return x->remade && x->needed_late && !x->needed; }

bool tape_wait(Tape *t, Tensor *x, Node *self, NodeBackward late)
{
    if (t->status || !comes_late(x))
        return false;
    self->late = late;
    self->late_next = x->late;
    self->out->waits = true;
    x->late = self;
    return true;
}

void *tape_again(Tape *t, Tensor *out)
{
    if (!comes_late(out))
        return NULL;
    out->data = tape_temp(t, tape_tensor_size(t, out));
    return out->data;
}

void tape_arrived(Tape *t, Tensor *out)
{
    for (Node *node = out->late; node && !t->status; node = node->late_next) {
        tape_fail(t, node->late(t, node));
        node->out->waits = false;
        grad_done(node->out);
    }
    out->late = NULL;
}

void tape_link(Tape *t, Node *node)
{
    node->number = t->n_nodes++;
    node->prev = t->list.tail;
    *(t->list.tail ? &t->list.tail->next : &t->list.head) = node;
    t->list.tail = node;
}

void *tape_node(Tape *t, size_t size, NodeBackward backward, Tensor *out)
{
    if (t->status || !t->nodes || !out->needs_grad)
        return NULL;
    Node *node = tape_host(t, size);
    if (!node)
        return NULL;
    node->backward = backward;
    node->out = out;
    tape_link(t, node);
    return node;
}

/* Writes the gradients of its inputs, whose producers stand before it. */
static void run_node(Tape *t, Node *node)
{
    tape_fail(t, node->backward(t, node));
    if (!node->out->waits)
        grad_done(node->out);
}

Status tape_run_backward(Tape *t, Node *last)
{
    for (Node *node = last; node && !t->status; node = node->prev)
        run_node(t, node);
    return t->status;
}

/* Whether there is anything to differentiate. */
static bool seed_losses(Tape *t, Tensor *const *losses, int n, double seed)
{
    bool accumulate, wanted = false;
    t->seed_value = seed;
    for (int i = 0; i < n && !t->status; i++) {
        if (!tensor_wants(losses[i]))
            continue;
        wanted = losses[i]->read = true;
        void *g = grad_dst(t, losses[i], &accumulate);
        if (g)
            RUN(t, fill, Fill, .n = losses[i]->n_elems, .type = losses[i]->grad_type, .value = seed, .x = g);
    }
    return wanted;
}

/* The nodes of the list, which is then empty. */
static Node *take_nodes(Tape *t)
{
    Node *last = t->list.tail;
    t->list = (NodeList){0};
    return last;
}

Status tape_backward(Tape *t, Tensor *loss, double seed)
{
    return seed_losses(t, &loss, 1, seed) ? tape_run_backward(t, take_nodes(t)) : t->status;
}

void tape_watch(Tape *t, TapeWatch watch, void *arg)
{
    t->watch = watch;
    t->watch_arg = arg;
}

static void tell(Tape *t, int64_t from)
{
    if (t->watch && !t->status)
        tape_fail(t, t->watch(t->watch_arg, from));
}

Status tape_backward_all(Tape *t, Tensor *const *losses, int n, double seed)
{
    if (!seed_losses(t, losses, n, seed))
        return t->status;
    tell(t, t->n_nodes);
    for (Node *node = take_nodes(t); node && !t->status; node = node->prev) {
        run_node(t, node);
        tell(t, node->prev ? node->prev->number + 1 : 0);
    }
    return t->status;
}
