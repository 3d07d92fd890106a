/* What the networks that draw are made of, against central differences in double; 1e-6 of the largest entry of each parameter. */
#include <math.h>

#include "tests/train/nn/rig.h"

enum { ALL = 1 << 20, ROWS = 9 };

static Param *find(Rig *r, const char *name)
{
    Param *p = params_find(&r->params, name);
    REQUIRE(p != NULL);
    return p;
}

static void check(void (*declare)(Rig *), RigBuild build, int samples)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    declare(&r);
    rig_create(&r);
    rig_check(&r, build, samples);
    rig_close(&r);
}

/* ---------------------------------------------------------------- activations */

static void mlp_params(Rig *r)
{
    rig_param(r, "x", ROWS, 8, true);
    rig_param(r, "m", 6, 8, true);
}
/* Every kind, of one input that all read. relu's corner is far from the values drawn. */
static Tensor *kinds_build(Rig *r, Tape *t)
{
    Linear m = {.w = find(r, "m")};
    Tensor *x = rig_rows(t, find(r, "x")), *y = nn_act(t, x, ACT_GELU_QUICK);
    y = nn_concat(t, nn_concat(t, y, nn_act(t, x, ACT_RELU)), nn_act(t, x, ACT_SILU));
    return nn_concat(t, nn_concat(t, y, nn_act(t, x, ACT_GELU_ERF)), nn_linear(t, nn_act(t, x, ACT_GELU_TANH), &m, 1, NULL));
}
TEST(every_activation_gradient) { check(mlp_params, kinds_build, ALL); }

static Tensor *geglu_build(Rig *r, Tape *t)
{
    Linear m = {.w = find(r, "m")};
    Tensor *x = rig_rows(t, find(r, "x"));
    return nn_concat(t, nn_geglu(t, nn_linear(t, x, &m, 1, NULL)), nn_geglu(t, x)); /* the second adds to the gradient of x */
}
TEST(geglu_gradient) { check(mlp_params, geglu_build, ALL); }

TEST(geglu_gates_the_first_half_with_the_second)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    Param *x = rig_param(&r, "x", 1, 4, true);
    rig_create(&r);
    Tensor *y = nn_geglu(r.tape, rig_rows(r.tape, x));
    REQUIRE(y != NULL);
    const double *ag = x->t.data, *found = y->data;
    for (int i = 0; i < 2; i++)
        CHECK(fabs(found[i] - ag[i] * ag[2 + i] * erfc(-ag[2 + i] / sqrt(2)) / 2) < 1e-14);
    rig_close(&r);
}

/* ---------------------------------------------------------------- images */

static const Plane SMALL = {2, 2, 3}, LARGER = {2, 4, 5};
enum { IMAGES = 2, PIXELS = 2 * 2 * 3 };

static void image_params(Rig *r)
{
    rig_param(r, "x", PIXELS, 6, true);
    rig_param(r, "y", PIXELS, 2, true);
    rig_param(r, "w", 8, 0, true);
    rig_param(r, "b", 8, 0, true);
}

/* Groups of two channels, of which the last is of the other tensor; the norm's weights are used twice. */
static Tensor *groupnorm_build(Rig *r, Tape *t)
{
    Tensor *x = nn_concat(t, rig_rows(t, find(r, "x")), rig_rows(t, find(r, "y")));
    Tensor *h = nn_groupnorm(t, x, IMAGES, find(r, "w"), find(r, "b"), 4, 1e-3, true);
    h = nn_groupnorm(t, h, 1, find(r, "w"), find(r, "b"), 2, 1e-3, false);
    return nn_concat(t, h, x);
}
TEST(groupnorm_and_concat_gradient) { check(image_params, groupnorm_build, ALL); }

static void frozen_norm_params(Rig *r)
{
    rig_param(r, "x", PIXELS, 6, true);
    rig_param(r, "y", PIXELS, 2, false);
    rig_param(r, "w", 8, 0, false);
    rig_param(r, "b", 8, 0, false);
}
TEST(groupnorm_gradient_with_frozen_weights) { check(frozen_norm_params, groupnorm_build, ALL); }

static void norm_alone_params(Rig *r)
{
    rig_param(r, "x", PIXELS, 8, false);
    rig_param(r, "w", 8, 0, true);
    rig_param(r, "b", 8, 0, true);
}
static Tensor *norm_alone_build(Rig *r, Tape *t)
{
    return nn_groupnorm(t, rig_rows(t, find(r, "x")), IMAGES, find(r, "w"), find(r, "b"), 4, 1e-3, true);
}
TEST(groupnorm_gradient_of_its_weights_alone) { check(norm_alone_params, norm_alone_build, ALL); }

static void upsample_params(Rig *r) { rig_param(r, "x", PIXELS, 3, true); }
static Tensor *upsample_build(Rig *r, Tape *t)
{
    Tensor *x = rig_rows(t, find(r, "x")), *y = nn_act(t, nn_upsample(t, x, SMALL, LARGER), ACT_SILU);
    return nn_concat(t, nn_upsample(t, y, LARGER, SMALL), x);
}
TEST(upsample_gradient) { check(upsample_params, upsample_build, ALL); }

/* What does not fit is refused by a sentence. */
TEST(operators_of_images_refuse_wrong_shapes)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    image_params(&r);
    rig_create(&r);
    for (int i = 0; i < 4; i++) {
        static const char *const SENTENCES[] = {
            "nn_groupnorm: w has 8 elements, b 8, 2 images have 12 rows of 6",
            "nn_concat: 12 rows and 40 rows",
            "nn_upsample: 12 rows, expected 2 images of 4·5",
            "nn_difference_loss: 5 items of [12, 6]; expected equally many rows of each, outside of blocks, which may run twice",
        };
        tape_reset(r.tape, 0);
        Tape *t = r.tape;
        Tensor *x = rig_rows(t, find(&r, "x"));
        Tensor *z = i == 0   ? nn_groupnorm(t, x, 2, find(&r, "w"), find(&r, "b"), 2, 1e-5, false)
                    : i == 1 ? nn_concat(t, x, nn_upsample(t, x, SMALL, LARGER))
                    : i == 2 ? nn_upsample(t, x, LARGER, SMALL)
                             : nn_difference_loss(t, x, NULL, &(DifferenceLoss){.items = 5});
        CHECK(!z);
        CHECK_INT(tape_status(t), ERR_INTERNAL);
        CHECK_STR(status_message(), SENTENCES[i]);
    }
    rig_close(&r);
}

/* ---------------------------------------------------------------- distances */

static const float ITEM_WEIGHT[] = {0.5f, 2, 1};
static const float *wanted_values(void)
{
    static float v[ROWS * 4];
    for (int i = 0; i < ROWS * 4; i++)
        v[i] = (float)((i * 7 + 3) % 11) / 8 - 0.6f;
    return v;
}
static void x_params(Rig *r) { rig_param(r, "x", ROWS, 4, true); }
static Tensor *difference(Rig *r, Tape *t, DifferenceKind kind)
{
    DifferenceLoss loss = {.kind = kind, .items = 3, .weight = ITEM_WEIGHT, .scale = 0.7};
    return nn_difference_loss(t, nn_act(t, rig_rows(t, find(r, "x")), ACT_SILU), wanted_values(), &loss);
}
static Tensor *mse_build(Rig *r, Tape *t) { return difference(r, t, DIFFERENCE_MSE); }
static Tensor *l2norm_build(Rig *r, Tape *t) { return difference(r, t, DIFFERENCE_L2NORM); }
TEST(mse_loss_gradient) { check(x_params, mse_build, ALL); }
TEST(l2norm_loss_gradient) { check(x_params, l2norm_build, ALL); }

/* Two losses of one u, whose gradients add up, and what they report: at once and through a total on the device. */
TEST(difference_losses_are_summed_and_reported)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    x_params(&r);
    rig_create(&r);
    const float *y = wanted_values();
    double grad[3][ROWS * 4], *x = find(&r, "x")->t.data, wanted[2] = {0};
    for (int i = 0; i < ROWS; i++) {
        double square = 0;
        for (int j = 0; j < 4; j++)
            square += pow(x[4 * i + j] - (double)y[4 * i + j], 2);
        wanted[0] += (double)ITEM_WEIGHT[i / 3] * square / 12;
        wanted[1] += (double)ITEM_WEIGHT[i / 3] * sqrt(square) / 3;
    }
    for (int which = 0; which < 3; which++) {
        tape_reset(r.tape, 1);
        REQUIRE_OK(params_step_begin(&r.params));
        Tensor *u = rig_rows(r.tape, find(&r, "x")), *losses[2] = {NULL};
        for (int k = 0; k < 2; k++) {
            double total = 10;
            DifferenceLoss loss = {.kind = k ? DIFFERENCE_L2NORM : DIFFERENCE_MSE, .items = 3, .weight = ITEM_WEIGHT, .scale = 0.5,
                                   .total = which == 2 ? &total : NULL};
            losses[k] = which == 1 - k ? NULL : nn_difference_loss(r.tape, u, y, &loss);
            if (!losses[k])
                continue;
            CHECK(fabs((which == 2 ? total - 10 : loss.weighted_sum) - wanted[k]) < 1e-13);
            CHECK(fabs(*(double *)losses[k]->data - 0.5 * wanted[k]) < 1e-13);
        }
        REQUIRE_OK(tape_backward_all(r.tape, losses, 2, 1));
        memcpy(grad[which], (double *)r.params.flat_grad + find(&r, "x")->flat, sizeof grad[0]);
    }
    for (int i = 0; i < ROWS * 4; i++)
        CHECK(grad[0][i] != 0 && fabs(grad[2][i] - grad[0][i] - grad[1][i]) < 1e-15);
    rig_close(&r);
}

/* 1 + 2⁻¹² is 1 in bf16. */
TEST(difference_losses_do_not_round_what_they_compare_with)
{
    Rig r;
    const float one[] = {1, 1}, target[] = {1 + 0x1p-12f, 1}, weight[] = {1};
    rig_open(&r, BF16, RECOMPUTE_NONE);
    for (DifferenceKind kind = DIFFERENCE_MSE; kind <= DIFFERENCE_L2NORM; kind++) {
        DifferenceLoss loss = {.kind = kind, .items = 1, .weight = weight, .scale = 1};
        CHECK(nn_difference_loss(r.tape, nn_input(r.tape, one, 1, 2), target, &loss) != NULL);
        CHECK(loss.weighted_sum == (kind == DIFFERENCE_MSE ? 0x1p-25 : 0x1p-12));
    }
    rig_close(&r);
}
