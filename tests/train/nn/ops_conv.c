/* Convolutions against central differences in double; pooling. */
#include "tests/train/nn/rig.h"

enum { ALL = 1 << 20 };

static Param *find(Rig *r, const char *name)
{
    Param *p = params_find(&r->params, name);
    REQUIRE(p != NULL);
    return p;
}

/* Runs a check with the parameters that `declare` makes. */
static void check(void (*declare)(Rig *), RigBuild build)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    declare(&r);
    rig_create(&r);
    rig_check(&r, build, ALL);
    rig_close(&r);
}

static Param *conv_weight(Rig *r, const char *name, int64_t out, int64_t in, int64_t kernel, bool trainable)
{
    Param *p = params_declare(&r->params, &(ParamSpec){.name = name, .trainable = trainable, .init = INIT_NORMAL, .init_scale = 0.5,
                                                       .n_dims = 4, .shape = {out, in, kernel, kernel}, .channels_last = true});
    REQUIRE(p != NULL);
    return p;
}

/* Two images of 4 × 3 with two channels through a 3×3 kernel of stride 2, zeros below and right alone:
 * 2 × 1 pixels of three channels. */
static void conv_params_of(Rig *r, bool x, bool w, bool b, bool shift, bool add)
{
    rig_param(r, "x", 24, 2, x);
    conv_weight(r, "w", 3, 2, 3, w);
    rig_param(r, "b", 3, 0, b);
    rig_param(r, "shift", 2, 3, shift);
    rig_param(r, "add", 4, 3, add);
}
static void conv_params(Rig *r) { conv_params_of(r, true, true, true, true, true); }
static void conv_x_params(Rig *r) { conv_params_of(r, true, false, false, false, false); }
static void conv_w_params(Rig *r) { conv_params_of(r, false, true, false, false, false); }
static void conv_b_params(Rig *r) { conv_params_of(r, false, false, true, false, false); }
static void conv_shift_params(Rig *r) { conv_params_of(r, false, false, false, true, false); }
static void conv_add_params(Rig *r) { conv_params_of(r, false, false, false, false, true); }

static Tensor *conv_build(Rig *r, Tape *t)
{
    const Conv conv = {.w = find(r, "w"), .b = find(r, "b"), .stride = 2, .bottom = 1, .right = 1};
    Plane to = {0};
    Tensor *y = nn_conv2d(t, rig_rows(t, find(r, "x")), (Plane){2, 4, 3}, &conv, rig_rows(t, find(r, "shift")),
                          rig_rows(t, find(r, "add")), &to);
    CHECK(to.images == 2 && to.height == 2 && to.width == 1);
    return y;
}

TEST(conv2d_gradient) { check(conv_params, conv_build); }
TEST(conv2d_gradient_of_the_images_alone) { check(conv_x_params, conv_build); }
TEST(conv2d_gradient_of_the_weight_alone) { check(conv_w_params, conv_build); }
TEST(conv2d_gradient_of_the_bias_alone) { check(conv_b_params, conv_build); }
TEST(conv2d_gradient_of_the_shift_alone) { check(conv_shift_params, conv_build); }
TEST(conv2d_gradient_of_the_addend_alone) { check(conv_add_params, conv_build); }

/* A chain over the same images, shift and weight: gradients are sums. Nothing is added by the first, without a bias. */
static void conv_twice_params(Rig *r)
{
    rig_param(r, "x", 12, 3, true);
    conv_weight(r, "w", 3, 3, 3, true);
    rig_param(r, "b", 3, 0, true);
    rig_param(r, "shift", 2, 3, true);
}
static Tensor *conv_twice_build(Rig *r, Tape *t)
{
    const Plane plane = {2, 2, 3};
    Conv conv = {.w = find(r, "w"), .stride = 1, .top = 1, .left = 1, .bottom = 1, .right = 1};
    Tensor *x = rig_rows(t, find(r, "x")), *shift = rig_rows(t, find(r, "shift"));
    Tensor *once = nn_conv2d(t, x, plane, &conv, NULL, NULL, NULL);
    conv.b = find(r, "b");
    Tensor *twice = nn_conv2d(t, once, plane, &conv, shift, x, NULL);
    return nn_conv2d(t, twice, plane, &conv, shift, once, NULL);
}
TEST(conv2d_gradient_adds_to_others) { check(conv_twice_params, conv_twice_build); }

/* A kernel of 1 × 3 over two images of 2 × 4. */
static void conv_wide_params(Rig *r)
{
    rig_param(r, "x", 16, 2, true);
    REQUIRE(params_declare(&r->params, &(ParamSpec){.name = "w", .trainable = true, .init = INIT_NORMAL, .init_scale = 0.5, .n_dims = 4,
                                                    .shape = {3, 2, 1, 3}, .channels_last = true}));
}
static Tensor *conv_wide_build(Rig *r, Tape *t)
{
    const Conv conv = {.w = find(r, "w"), .stride = 1, .left = 1, .right = 1};
    Plane to = {0};
    Tensor *y = nn_conv2d(t, rig_rows(t, find(r, "x")), (Plane){2, 2, 4}, &conv, NULL, NULL, &to);
    CHECK(to.images == 2 && to.height == 2 && to.width == 4);
    return y;
}
TEST(conv2d_gradient_of_a_wide_kernel) { check(conv_wide_params, conv_wide_build); }

TEST(pool2d_has_no_backward)
{
    const Pool pool = {.kind = POOL_MEAN, .kernel_height = 3, .kernel_width = 3, .stride = 2, .around = 1};
    for (int trains = 0; trains < 2; trains++) {
        Rig r;
        Plane to = {0};
        rig_open(&r, F64, RECOMPUTE_NONE);
        rig_param(&r, "x", 15, 2, trains);
        rig_create(&r);
        const double *x = find(&r, "x")->t.data;
        Tensor *y = nn_pool2d(r.tape, rig_rows(r.tape, find(&r, "x")), (Plane){1, 3, 5}, &pool, &to);
        if (trains) {
            CHECK(!y);
            CHECK_FAILS(tape_status(r.tape), ERR_INTERNAL, "nn_pool2d has no backward: [15, 2] of 1 images of 3 x 5");
        } else {
            REQUIRE(y && to.height == 2 && to.width == 3);
            CHECK(((const double *)y->data)[0] == (x[0] + x[2] + x[10] + x[12]) / 4);
        }
        rig_close(&r);
    }
}

TEST(conv2d_refuses_images_of_another_size)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    conv_twice_params(&r);
    rig_create(&r);
    const Conv conv = {.w = find(&r, "w"), .stride = 1, .top = 1, .left = 1, .bottom = 1, .right = 1};
    CHECK(!nn_conv2d(r.tape, rig_rows(r.tape, find(&r, "x")), (Plane){2, 2, 2}, &conv, NULL, NULL, NULL));
    CHECK_FAILS(tape_status(r.tape), ERR_INTERNAL, "nn_conv2d: w does not take these images: [12, 3] of 2 images of 2 x 2");
    rig_close(&r);
}

static bool filtered[2];
static Status note_forward(KernelCtx *ctx, const Conv2dFwd *a)
{
    (void)ctx;
    filtered[0] = a->winograd;
    return OK;
}
static Status note_backward(KernelCtx *ctx, const Conv2dDx *a)
{
    (void)ctx;
    filtered[1] = a->winograd;
    return OK;
}

/* train.winograd reaches both passes. */
TEST(conv2d_tells_the_backend_what_the_tape_allows)
{
    for (int allowed = 0; allowed < 2; allowed++) {
        Rig r;
        Tape *t;
        rig_open(&r, F64, RECOMPUTE_NONE);
        conv_twice_params(&r);
        rig_create(&r);
        r.backend.ops.conv2d_fwd = note_forward;
        r.backend.ops.conv2d_dx = note_backward;
        REQUIRE_OK(tape_create(&t, &(TapeOptions){.backend = &r.backend, .keep = &r.keep, .scratch = &r.scratch, .compute = F64,
                                                  .winograd = allowed}));
        const Conv conv = {.w = find(&r, "w"), .stride = 1, .top = 1, .left = 1, .bottom = 1, .right = 1};
        Tensor *y = nn_conv2d(t, rig_rows(t, find(&r, "x")), (Plane){2, 2, 3}, &conv, NULL, NULL, NULL);
        filtered[0] = filtered[1] = !allowed;
        nn_conv2d(t, y, (Plane){2, 2, 3}, &conv, NULL, NULL, NULL);
        REQUIRE_OK(tape_backward(t, y, 1));
        CHECK(filtered[0] == allowed && filtered[1] == allowed);
        tape_free(&t);
        rig_close(&r);
    }
}
