/* What a whole step of a run that draws calls: losses of frozen networks go back through what lies between them and what trains, and
 * through nothing else. Spec: model.md 6. */
#include <stdio.h>

#include "kernels/ops/watch.h"
#include "tests/harness.h"
#include "train/measure/memory.h"

typedef struct Calls {
    int of[N_OPS];
} Calls;

static void count(void *calls, Op op, const void *args, const Cost *cost)
{
    (void)args, (void)cost;
    ((Calls *)calls)->of[op]++;
}

/* One pass with a picture to draw and one to edit. */
static void walk(Calls *calls, const char *name, RunConfig *cfg, MemoryPlan *plan)
{
    static const char *const SETS[] = {"train.recompute=none", "loss.condition_dropout=0"};
    char path[256];
    Watched w = {.b = {0}};
    const PassShape pass = {.tokens = 20, .segments = 2, .labels = 4, .generate = 1, .edit = 1, .target_pictures = 2, .source_pictures = 1,
                            .max_segment = 10, .target_size = 20};
    snprintf(path, sizeof path, "tests/fixtures/parity/%s/config.json", name);
    REQUIRE_OK(config_load(cfg, path, SETS, sizeof SETS / sizeof *SETS));
    REQUIRE_OK(null_open(&w.b));
    *calls = (Calls){{0}};
    watch_start(&w, (Watcher){.arg = calls, .before = count});
    REQUIRE_OK(memory_walk(plan, &w.b, cfg, F32, &(MemoryRun){.passes = &pass, .n_passes = 1}, NULL, NULL));
    w.b.close(&w.b);
}

/* Attention of the language model and of the head, once each for both pictures. */
static int attentions(const RunConfig *cfg, const MemoryPlan *plan)
{
    return (int)(plan->sizes.layers + cfg->model.gen_head.encoder_layers + 2 * cfg->model.gen_head.decoder_layers);
}

static int head_norms(const RunConfig *cfg)
{
    return (int)(2 * cfg->model.gen_head.encoder_layers + 3 * cfg->model.gen_head.decoder_layers + 2);
}

/* The text encoder, of two layers, gives for each loss what is compared with. */
TEST(a_step_that_compares_prompts_does_not_go_back_through_the_text_encoder)
{
    Calls c;
    RunConfig cfg;
    MemoryPlan plan;
    walk(&c, "draw_l2norm", &cfg, &plan);
    CHECK_INT(c.of[OP_attention_fwd], attentions(&cfg, &plan) + 2 * 2);
    CHECK_INT(c.of[OP_attention_bwd], attentions(&cfg, &plan));
    CHECK_INT(c.of[OP_layernorm_bwd], head_norms(&cfg));
    CHECK_INT(c.of[OP_act_bwd], cfg.model.gen_head.encoder_layers + cfg.model.gen_head.decoder_layers);
    for (int op = OP_conv2d_fwd; op <= OP_conv2d_dw; op++)
        CHECK_INT(c.of[op], 0);
    config_free(&cfg);
}

/* UNets of 8 residual blocks, 4 transformers and 2 samplers; the way back ends at the first of what the context enters, or at conv_in. */
enum { RESNETS = 8, TRANSFORMERS = 4, SAMPLERS = 2, CONVS = 2 * RESNETS + SAMPLERS + 2, NORMS = 2 * RESNETS + TRANSFORMERS + 1 };

TEST(a_step_that_finds_noise_goes_back_to_the_context_alone)
{
    Calls c;
    RunConfig cfg;
    MemoryPlan plan;
    walk(&c, "noise_frozen", &cfg, &plan);
    CHECK_INT(c.of[OP_conv2d_dx], 2 * (CONVS - 3)); /* for each loss */
    CHECK_INT(c.of[OP_conv2d_dw], 0);
    CHECK_INT(c.of[OP_groupnorm_bwd], 2 * (NORMS - 3));
    CHECK_INT(c.of[OP_upsample_bwd], 2);
    CHECK_INT(c.of[OP_attention_bwd], attentions(&cfg, &plan) + 2 * (2 * TRANSFORMERS - 1));
    CHECK_INT(c.of[OP_layernorm_bwd], head_norms(&cfg) + 2 * (3 * TRANSFORMERS - 2));
    config_free(&cfg);
}

TEST(a_step_that_trains_conv_in_has_the_gradient_of_one_convolution)
{
    Calls c;
    RunConfig cfg;
    MemoryPlan plan;
    walk(&c, "noise_conv_in", &cfg, &plan);
    CHECK_INT(c.of[OP_conv2d_dx], CONVS - 1); /* one of the losses compares prompts */
    CHECK_INT(c.of[OP_conv2d_dw], 1);
    CHECK_INT(c.of[OP_groupnorm_bwd], NORMS);
    config_free(&cfg);
}
