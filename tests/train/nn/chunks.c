/* nn_chunks: pieces give the loss and the gradients of the whole, in the memory of one piece. Beside it nn_input and tape_key. */
#include <math.h>

#include "tests/train/nn/rig.h"

enum { ITEMS = 5, EACH = 3, D = 4, WORDS = 6 };

static Rig rig;
static int64_t chunk;
static size_t keep_peak;

static Param *find(const char *name)
{
    Param *p = params_find(&rig.params, name);
    REQUIRE(p != NULL);
    return p;
}

static Tensor *layer(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)arg;
    (void)n;
    Tensor *h = nn_rmsnorm(t, in[0], NULL, find("norm"), 1e-5, NULL);
    return nn_linear_add(t, nn_linear(t, h, &(Linear){.w = find("w")}, 1, NULL), &(Linear){.w = find("w")}, NULL, in[0]);
}

/* The cross entropy of the items' rows. Inside of a chunk everything is there: blocks, a tensor of host numbers, uploads. */
static Tensor *piece(Tape *t, const void *arg, Tensor *x, int64_t at, int64_t n)
{
    int32_t label[ITEMS * EACH];
    float weight[ITEMS * EACH], more[ITEMS * EACH * D];
    (void)arg;
    for (int64_t i = 0; i < n * EACH; i++) {
        label[i] = (int32_t)((at * EACH + i) * 5 % WORDS);
        weight[i] = (float)((at * EACH + i) % 4);
    }
    for (int64_t i = 0; i < n * EACH * D; i++)
        more[i] = (float)(at * EACH * D + i) / 64;
    Tensor *h = nn_linear_add(t, nn_input(t, more, n * EACH, D), &(Linear){.w = find("w")}, NULL, nn_block(t, layer, NULL, &x, 1));
    LmLoss loss = {.n = n * EACH, .head = find("head"), .label = label, .weight = weight, .scale = 0.25};
    return nn_lm_loss(t, h, &loss);
}

static Tensor *build(Rig *r, Tape *t)
{
    (void)r;
    Tensor *x = nn_linear(t, rig_rows(t, find("x")), &(Linear){.w = find("w")}, 1, NULL);
    Tensor *loss = chunk ? nn_chunks(t, x, ITEMS, chunk, piece, NULL) : piece(t, NULL, x, 0, ITEMS);
    keep_peak = rig.keep.peak;
    return loss;
}

static void open_rig(Recompute recompute, bool x_trains, bool weights_train)
{
    rig_open(&rig, F64, recompute);
    rig_param(&rig, "x", ITEMS * EACH, D, x_trains);
    rig_param(&rig, "w", D, D, weights_train);
    rig_param(&rig, "norm", D, 0, weights_train);
    rig_param(&rig, "head", WORDS, D, weights_train);
    rig_create(&rig);
}

TEST(chunks_gradient)
{
    for (int i = 0; i < 4; i++) {
        open_rig(RECOMPUTE_SELECTIVE, i != 1, i != 2);
        chunk = i == 3 ? 1 : 2;
        rig_check(&rig, build, 64);
        rig_close(&rig);
    }
}

TEST(chunks_give_what_the_whole_gives)
{
    static double grad[4][ITEMS * EACH * D + 64];
    double loss[4];
    size_t peak[4];
    for (int i = 0; i < 4; i++) { /* no chunks, then 5, 2 and 1 items at a time */
        open_rig(RECOMPUTE_NONE, true, true);
        chunk = (int64_t[]){0, 5, 2, 1}[i];
        loss[i] = rig_loss(&rig, build, true);
        memcpy(grad[i], rig.params.flat_grad, (size_t)(find("head")->flat + WORDS * D) * sizeof(double));
        peak[i] = keep_peak;
        rig_close(&rig);
        CHECK(fabs(loss[i] - loss[0]) <= 1e-14 * fabs(loss[0]));
        for (int j = 0; j < ITEMS * EACH * D + 64; j++)
            CHECK(fabs(grad[i][j] - grad[0][j]) <= 1e-14);
    }
    CHECK(peak[3] < peak[2] && peak[2] < peak[1]);
}

TEST(chunks_of_frozen_inputs_leave_nothing)
{
    open_rig(RECOMPUTE_NONE, false, false);
    chunk = 2;
    Tensor *loss = build(&rig, rig.tape);
    REQUIRE(loss != NULL);
    CHECK(!loss->needs_grad);
    CHECK_OK(tape_backward(rig.tape, loss, 1));
    rig_close(&rig);
}

TEST(chunks_refuse_what_they_cannot_do)
{
    open_rig(RECOMPUTE_NONE, true, true);
    chunk = 2;
    REQUIRE_OK(params_step_begin(&rig.params));
    Tensor *loss = build(&rig, rig.tape);
    REQUIRE(loss != NULL);
    CHECK_FAILS(tape_backward(rig.tape, loss, 0.5), ERR_INTERNAL, "nn_chunks: seeded with 0.5, its gradients were written for 1");
    tape_reset(rig.tape, 0);
    CHECK(!nn_chunks(rig.tape, rig_rows(rig.tape, find("x")), 4, 1, piece, NULL));
    CHECK_STR(status_message(), "nn_chunks: [15, 4] in chunks of 1 of 4 items");
    rig_close(&rig);
}

static Tensor *hidden(Tape *t, const void *arg)
{
    (void)arg;
    Tensor *x = rig_rows(t, find("x"));
    return nn_block(t, layer, NULL, &x, 1);
}

TEST(what_is_evaluated_comes_to_the_host_and_leaves_nothing)
{
    open_rig(RECOMPUTE_SELECTIVE, true, true);
    tape_reset(rig.tape, 0);
    size_t keep = rig.keep.used, scratch = rig.scratch.used;
    float values[ITEMS * EACH * D] = {0};
    nn_evaluate(rig.tape, hidden, NULL, values);
    CHECK(rig.keep.used == keep && rig.scratch.used == scratch);
    const Tensor *y = hidden(rig.tape, NULL);
    REQUIRE(y != NULL);
    CHECK(y->needs_grad);
    for (int i = 0; i < ITEMS * EACH * D; i++)
        CHECK(values[i] != 0 && values[i] == (float)((const double *)y->data)[i]);
    rig_close(&rig);
}

static Tensor *stack_build(Rig *r, Tape *t)
{
    (void)r;
    static const int32_t INDEX[] = {0, 18, 3, 18, 16, 1}; /* rows of both, one of them twice */
    Tensor *both = nn_stack(t, rig_rows(t, find("x")), nn_linear(t, rig_rows(t, find("head")), &(Linear){.w = find("w")}, 1, NULL));
    return nn_gather_rows(t, both, tape_ints(t, INDEX, 6), 6);
}

TEST(stack_gradient)
{
    for (int i = 0; i < 3; i++) {
        rig_open(&rig, F64, RECOMPUTE_NONE);
        rig_param(&rig, "x", ITEMS * EACH, D, i != 1);
        rig_param(&rig, "w", D, D, i != 2);
        rig_param(&rig, "head", WORDS, D, i != 2);
        rig_create(&rig);
        rig_check(&rig, stack_build, 64);
        rig_close(&rig);
    }
}

TEST(keys_differ_by_purpose_step_and_place)
{
    open_rig(RECOMPUTE_NONE, true, true);
    tape_reset(rig.tape, 3);
    uint64_t key = tape_key(rig.tape, RANDOM_NOISE, 7);
    CHECK(key == philox_key(42, RANDOM_NOISE, 3, 7) && key != tape_key(rig.tape, RANDOM_DROPOUT, 7));
    tape_reset(rig.tape, 4);
    CHECK(key != tape_key(rig.tape, RANDOM_NOISE, 7));
    rig_close(&rig);
}
