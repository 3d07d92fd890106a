/* Who reads what a block makes. Before a block runs, block.c walks its function on a backend that computes nothing. What operators say
 * about their inputs meanwhile is at hand when the same tensors are made in earnest: their room, what may be dropped, what may be
 * overwritten. */
#include "train/nn/node.h"
#include "train/nn/ops.h"

bool tape_reads(Tape *t, const char *op, Tensor *x, Reading how)
{
    if (!x || t->status)
        return false;
    if (x->replaced && !t->again) {
        tape_fail(t, fail(ERR_INTERNAL, "%s reads a tensor [%lld, %lld] that nn_block_inplace has replaced by its result", op,
                          (long long)tensor_rows(x), (long long)tensor_cols(x)));
        return false;
    }
    x->read = true;
    if (t->walking && x->uses) {
        x->uses->readers++;
        x->uses->how = how;
    }
    return true;
}

void tape_wants_room(const Tape *t, const Tensor *x, int64_t room)
{
    if (t->walking && x->uses)
        x->uses->room = room;
}

bool tape_read_only(const Tensor *x, Reading how) { return x->uses && x->uses->readers == 1 && x->uses->how == how; }

static ParamUse *find_param(const Tape *t, const Param *p)
{
    ParamUse *u = t->params;
    while (u && u->param != p)
        u = u->next;
    return u;
}

void tape_trains(Tape *t, Param *p)
{
    if (p && p->first_node < 0)
        p->first_node = t->n_nodes;
    if (!t->walking || !p || !p->trainable)
        return;
    ParamUse *u = find_param(t, p);
    if (!u && (u = tape_host(t, sizeof *u))) {
        *u = (ParamUse){.next = t->params, .param = p};
        t->params = u;
    }
    if (u)
        u->readers++;
}

bool tape_trains_once(const Tape *t, const Param *p)
{
    const ParamUse *u = p && t->depth ? find_param(t, p) : NULL;
    return !u || u->readers == 1;
}

Uses tape_next_uses(const Tape *t) { return t->depth && !t->walking && t->uses ? *t->uses : (Uses){0}; }

int64_t tape_room(const Tape *t)
{
    Uses next = tape_next_uses(t);
    return next.readers == 1 ? next.room : 0;
}

Uses *tape_take_uses(Tape *t, int64_t rows, int64_t cols)
{
    Uses *u = t->uses;
    if (!t->depth || t->status)
        return NULL;
    if (t->walking) {
        Uses *fresh = tape_host(t, sizeof *fresh);
        if (!fresh)
            return NULL;
        *fresh = (Uses){.rows = rows, .cols = cols};
        while (u && u->next)
            u = u->next;
        return *(u ? &u->next : &t->uses) = fresh;
    }
    if (!u || u->rows != rows || u->cols != cols) {
        tape_fail(t, fail(ERR_INTERNAL, "nn_block: its function made a tensor [%lld, %lld] that it did not make when it was walked",
                          (long long)rows, (long long)cols));
        return NULL;
    }
    t->uses = u->next;
    return u;
}
