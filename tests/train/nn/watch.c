/* tape_watch: which gradients are final when, and operators that break what it rests on. Every test of rig.h watches, too. */
#include <stdio.h>

#include "tests/train/nn/rig.h"
#include "train/nn/node.h"

enum { ROWS = 4, D = 8, BLOCKS = 3 };

static Param *find(const Rig *r, const char *name, int i)
{
    char full[32];
    snprintf(full, sizeof full, "%s%d", name, i);
    return params_find(&r->params, full);
}

/* y = x + w2·gelu(w1·norm(x)) */
static Tensor *residual(Tape *t, const void *arg, Tensor *const *in, int n)
{
    Param *const *p = arg;
    const Linear up = {.w = p[1]}, down = {.w = p[2]};
    (void)n;
    Tensor *h = nn_rmsnorm(t, in[0], NULL, p[0], 1e-5, NULL); /* [ROWS,D] */
    return nn_linear_add(t, nn_act(t, nn_linear(t, h, &up, 1, NULL), ACT_GELU_ERF), &down, NULL, in[0]);
}

/* What of the blocks' parameters is final, a bit for each block, after each node of the pass. */
typedef struct Seen {
    Rig *rig;
    int n, final[16];
} Seen;

static Status see(void *arg, int64_t from)
{
    static const char *const NAMES[] = {"norm", "up", "down"};
    Seen *s = arg;
    int final = 0;
    for (int i = 0; i < BLOCKS; i++) {
        int n = 0;
        for (int k = 0; k < 3; k++)
            n += find(s->rig, NAMES[k], i)->first_node >= from;
        CHECK_MSG(n == 0 || n == 3, "block %d: %d of its parameters are final", i, n);
        final |= (n == 3) << i;
    }
    s->final[s->n++ % 16] = final;
    return OK;
}

TEST(blocks_become_final_one_after_the_other_from_the_last_on)
{
    for (int mode = RECOMPUTE_NONE; mode <= RECOMPUTE_BLOCK; mode++) {
        Rig r;
        Param *p[BLOCKS][3];
        char name[32];
        rig_open(&r, F64, (Recompute)mode);
        Param *x = rig_param(&r, "x0", ROWS, D, true);
        for (int i = 0; i < BLOCKS; i++)
            for (int k = 0; k < 3; k++) {
                snprintf(name, sizeof name, "%s%d", (const char *[]){"norm", "up", "down"}[k], i);
                p[i][k] = rig_param(&r, name, D, k ? D : 0, true);
            }
        rig_create(&r);
        for (int pass = 0; pass < 2; pass++) {
            Seen seen = {.rig = &r};
            tape_reset(r.tape, 3);
            rig_watch(&r);
            Tensor *y = rig_rows(r.tape, x);
            for (int i = 0; i < BLOCKS; i++)
                y = nn_block(r.tape, residual, p[i], &y, 1);
            tape_watch(r.tape, see, &seen);
            REQUIRE_OK(tape_backward_all(r.tape, &y, 1, 1));
            static const int WANTED[] = {0, 4, 6, 7, 7}; /* before the first node; after each block; after the embedding */
            CHECK_INT(seen.n, 5);
            for (int i = 0; i < 5; i++)
                CHECK_INT(seen.final[i], WANTED[i]);
        }
        rig_close(&r);
    }
}

typedef struct TrainNode {
    Node node;
    Param *p;
} TrainNode;

static Status train_bwd(Tape *t, Node *self)
{
    bool more;
    grad_dst(t, &((TrainNode *)self)->p->t, &more);
    return tape_status(t);
}

static void check_refused(bool says, const char *sentence)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    Param *w = rig_param(&r, "w0", D, D, true);
    rig_create(&r);
    Tensor *y = tape_output(r.tape, ROWS, D, true, PLACE_KEEP);
    TrainNode *s = tape_node(r.tape, sizeof *s, train_bwd, y);
    REQUIRE(s != NULL);
    s->p = w;
    if (says)
        tape_trains(r.tape, w);
    w->is_final = says;
    CHECK_FAILS(tape_backward(r.tape, nn_act(r.tape, y, ACT_GELU_ERF), 1), ERR_INTERNAL, sentence);
    rig_close(&r);
}
TEST(an_operator_that_hides_what_it_trains_fails) { check_refused(false, "tape: an operator did not say that it trains w0 [8, 8]"); }
TEST(a_gradient_that_is_written_too_late_fails) { check_refused(true, "tape: the gradient of w0 is written after it was final"); }
