/* draw: pictures equal to those of diffusers' pipelines (tests/oracle/drawings.py) in every mode of guidance and editing; seeds; memory
 * that was planned; what stops a drawing. On the CPU, and in test-cuda-host on the emulated device. */
#include "train/infer/draw.h"

#include <math.h>
#include <stdio.h>

#include "data/formats/safetensors.h"
#include "tests/harness.h"
#include "tests/train/models/hashed.h"
#include "train/dist/device.h"

enum { SIDE = 16, PIXELS = SIDE * SIDE * 3, QUERIES = 5, WIDTH = 12, SEED = 7, INDEX = 3 };

/* A case of tests/fixtures/parity, opened to draw. */
typedef struct Rig {
    RunConfig cfg;
    Backend backend;
    GenLlava *model;
    Drawer *drawer;
    float context[QUERIES * WIDTH];
    uint8_t source[PIXELS];
} Rig;

static void load_config(RunConfig *cfg, const char *name, const char *set)
{
    const char *sets[] = {"device=auto", "model.diffusion.size=16", set};
    char path[128];
    snprintf(path, sizeof path, "parity/%s/config.json", name);
    REQUIRE_OK(config_load(cfg, test_fixture(path), sets, set ? 3 : 2));
    cfg->draws = true;
}

static void open_rig(Rig *r, const char *name, const char *set)
{
    DType compute;
    load_config(&r->cfg, name, set);
    REQUIRE_OK(device_open(&r->backend, &r->cfg, 0, &compute));
    REQUIRE_OK(genllava_open_to_answer(&r->model, &r->backend, compute, &r->cfg, NULL));
    REQUIRE_OK(drawer_open(&r->drawer, r->model, &r->cfg, &r->backend));
    const ModelSizes *sizes = genllava_model_sizes(r->model);
    REQUIRE(sizes->queries == QUERIES && sizes->context == WIDTH);
    for (int i = 0; i < QUERIES * WIDTH; i++)
        r->context[i] = 2 * hashed_uniform("context", (uint64_t)i);
    for (int i = 0; i < PIXELS; i++)
        r->source[i] = (uint8_t)(hashed("source", (uint64_t)i) % 256);
}

static void close_rig(Rig *r)
{
    drawer_close(&r->drawer);
    genllava_close(&r->model);
    r->backend.close(&r->backend);
    config_free(&r->cfg);
}

/* ---------------------------------------------------------------- numbers */

typedef struct Case {
    const char *name, *folder, *set;
    Task task;
    bool source;
    DrawOptions o;
} Case;

static const Case CASES[] = {
    {"generate", "noise_frozen", NULL, TASK_GENERATE, false, {.steps = 4, .guidance = 3}},
    {"unguided", "noise_frozen", NULL, TASK_GENERATE, false, {.sampler = SAMPLER_DDIM, .steps = 3, .guidance = 1}},
    {"wordless", "noise_frozen", "loss.generate=mse", TASK_GENERATE, false, {.sampler = SAMPLER_DPM, .steps = 3, .guidance = 3}},
    {"sdedit", "noise_frozen", NULL, TASK_EDIT, true, {.sampler = SAMPLER_DPM, .steps = 5, .guidance = 2, .strength = 0.6}},
    {"sdedit_pndm", "noise_frozen", NULL, TASK_EDIT, true, {.steps = 5, .guidance = 2, .strength = 0.9}},
    {"ip2p", "noise_edit", NULL, TASK_EDIT, true, {.sampler = SAMPLER_DDIM, .steps = 3, .guidance = 3, .image_guidance = 1.5}},
    {"ip2p_unguided", "noise_edit", NULL, TASK_EDIT, true, {.sampler = SAMPLER_DDIM, .steps = 2, .guidance = 3, .image_guidance = 0.9}},
    {"ip2p_no_source", "noise_edit", NULL, TASK_GENERATE, false, {.sampler = SAMPLER_DDIM, .steps = 3, .guidance = 2}},
};

static void check_picture(const Case *c, const SafeTensors *expected)
{
    static Rig r;
    static uint8_t rgb[PIXELS];
    const double rounding = 0.5, most = 0.01; /* measured: none is rounded otherwise */
    double worst = 0;
    DrawOptions o = c->o;
    o.seed = SEED;
    o.index = INDEX;
    open_rig(&r, c->folder, c->set);
    REQUIRE_OK(draw_picture(r.drawer, c->task, r.context, c->source ? r.source : NULL, &o, rgb));
    const float *wanted = hashed_expected(expected, c->name, PIXELS);
    for (int i = 0; i < PIXELS; i++)
        worst = fmax(worst, fabs(255 * (double)wanted[i] - rgb[i]));
    CHECK_MSG(worst <= rounding + most, "%s: a pixel is off by %.4f", c->name, worst);
    close_rig(&r);
}

TEST(pictures_are_those_of_diffusers)
{
    SafeTensors *expected;
    REQUIRE_OK(safetensors_open(&expected, test_fixture("drawings.safetensors")));
    CHECK_INT(safetensors_count(expected), sizeof CASES / sizeof *CASES);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        check_picture(&CASES[i], expected);
    safetensors_close(&expected);
}

/* ---------------------------------------------------------------- what else it does */

typedef struct Watch {
    int64_t done, of;
} Watch;
static int64_t asked, give_up;

static void watch(void *user, int64_t done, int64_t of)
{
    Watch *w = user;
    CHECK_INT(done, w->done + 1);
    *w = (Watch){done, of};
}
static const char *stop(void) { return ++asked > give_up ? "told to stop" : NULL; }

TEST(a_seed_is_a_picture_and_a_drawing_can_be_watched_and_stopped)
{
    static Rig r;
    static uint8_t first[PIXELS], again[PIXELS];
    Watch w = {0};
    DrawOptions o = {.sampler = SAMPLER_PNDM, .steps = 3, .guidance = 2, .seed = SEED, .progress = watch, .user = &w, .stopped = stop};
    give_up = 4;
    open_rig(&r, "noise_frozen", NULL);
    REQUIRE_OK(draw_picture(r.drawer, TASK_GENERATE, r.context, NULL, &o, first));
    CHECK(w.done == 4 && w.of == 4 && asked == 4); /* PNDM's second evaluation does the first step again */
    asked = 2;
    w = (Watch){0};
    CHECK_FAILS(draw_picture(r.drawer, TASK_GENERATE, r.context, NULL, &o, again), ERR_PREEMPTED, "told to stop");
    CHECK_INT(w.done, 2);
    o.stopped = NULL;
    o.progress = NULL;
    REQUIRE_OK(draw_picture(r.drawer, TASK_GENERATE, r.context, NULL, &o, again));
    CHECK(!memcmp(first, again, sizeof first));
    o.index = 1;
    REQUIRE_OK(draw_picture(r.drawer, TASK_GENERATE, r.context, NULL, &o, again));
    CHECK(memcmp(first, again, sizeof first));
    o.index = 0;
    o.seed++;
    REQUIRE_OK(draw_picture(r.drawer, TASK_GENERATE, r.context, NULL, &o, again));
    CHECK(memcmp(first, again, sizeof first));
    o.steps = 0;
    CHECK_FAILS(draw_picture(r.drawer, TASK_GENERATE, r.context, NULL, &o, again), ERR_USAGE,
                "0 steps, expected 1 … 1000 of the sampler \"pndm\"");
    close_rig(&r);
}

/* Where a source is only what the language model sees, and the encoder is not there. */
TEST(what_the_context_says_is_all_that_llm_only_sees)
{
    static Rig r;
    static uint8_t with[PIXELS], without[PIXELS];
    const DrawOptions o = {.sampler = SAMPLER_DDIM, .steps = 2, .guidance = 2, .strength = 0.5, .seed = SEED};
    open_rig(&r, "noise_frozen", "model.diffusion.edit=llm_only");
    REQUIRE_OK(draw_picture(r.drawer, TASK_EDIT, r.context, r.source, &o, with));
    REQUIRE_OK(draw_picture(r.drawer, TASK_EDIT, r.context, NULL, &o, without));
    CHECK(!memcmp(with, without, sizeof with));
    close_rig(&r);
}

TEST(latents_that_are_no_numbers_end_a_drawing)
{
    static Rig r;
    static uint8_t rgb[PIXELS];
    const DrawOptions o = {.sampler = SAMPLER_DDIM, .steps = 4, .guidance = 2, .seed = SEED};
    open_rig(&r, "noise_frozen", NULL);
    Params *p = genllava_params(r.model);
    Param *bias = params_find(p, "unet.conv_out.bias");
    REQUIRE(bias && bias->t.n_elems == 4);
    REQUIRE_OK(params_set(p, bias, (const float[]){0, NAN, 0, 0}, F32));
    CHECK_FAILS(draw_picture(r.drawer, TASK_GENERATE, r.context, NULL, &o, rgb), ERR_DATA,
                "the latents of a picture are not finite after 1 of 4 evaluations of the UNet: lower the guidance, compute in f32 "
                "(train.compute), or look for damaged weights");
    close_rig(&r);
}

/* What is measured on the null backend, before any weight is read, is what an open model measures; what does not draw has no networks. */
TEST(memory_to_draw_is_known_before_weights_are_read)
{
    static Rig r;
    Backend null;
    GenLlava *model;
    size_t device[2], host[2];
    open_rig(&r, "noise_edit", NULL);
    REQUIRE_OK(null_open(&null));
    REQUIRE_OK(genllava_open_to_answer(&model, &null, F32, &r.cfg, NULL));
    CHECK(genllava_count(model, "unet") > 0);
    REQUIRE_OK(drawer_measure(&device[0], &host[0], model, &r.cfg, &null));
    REQUIRE_OK(drawer_measure(&device[1], &host[1], r.model, &r.cfg, &null));
    CHECK(device[0] == device[1] && host[0] == host[1] && device[0] > 0 && host[0] > PIXELS);
    genllava_close(&model);
    r.cfg.draws = false;
    REQUIRE_OK(genllava_open_to_answer(&model, &null, F32, &r.cfg, NULL));
    CHECK_INT(genllava_count(model, "unet") + genllava_count(model, "vae") + genllava_count(model, "gen_head"), 0);
    genllava_close(&model);
    null.close(&null);
    close_rig(&r);
}
