/* The walk that measures a run calls every operator of the run, so a device that lacks one says so before the first step. */
#include <stdio.h>
#include <string.h>

#include "kernels/ops/op.h"
#include "tests/train/models/tiny.h"
#include "train/measure/memory.h"

#define REFUSE(name, Args)                                   \
    static Status refuse_##name(KernelCtx *ctx, const Args *a) \
    {                                                        \
        (void)ctx, (void)a;                                  \
        return fail(ERR_DEVICE, "no " #name);                \
    }
KERNEL_LIST(REFUSE)
#undef REFUSE

static Op missing; /* of the device */

static Status measure(Backend *device, Backend *null)
{
    (void)device;
    TRY(null_open(null));
#define REPLACE(name, Args)       \
    if (missing == OP_##name)     \
        null->ops.name = refuse_##name;
    KERNEL_LIST(REPLACE)
#undef REPLACE
    return OK;
}

TEST(a_run_is_refused_by_the_name_of_an_operator_that_its_device_lacks)
{
    static const Op UNUSED[] = {OP_dropout,       OP_layernorm_bwd, OP_add_rows_bwd,  OP_conv2d_fwd,      OP_conv2d_dx,
                                OP_conv2d_dw,     OP_groupnorm_fwd, OP_groupnorm_bwd, OP_upsample_fwd,    OP_upsample_bwd,
                                OP_difference_fwd, OP_difference_bwd, OP_adapter_up_bwd, OP_dequantize,    OP_pool2d_fwd};
    static const char MAKING_CODES[] = "reading the language model: model.layers.0.self_attn.v_proj.weight in 8 bits: ";
    int32_t ids[] = {1, 17, 200};
    SamplePrompt prompt = {.encoded = {.id = ids, .n = 3, .expanded = 3}};
    Samples samples = {.list = &prompt, .n = 1};
    PassShape pass = {.tokens = 20, .segments = 2, .images = 1, .labels = 5, .max_segment = 12};
    RunConfig cfg;
    Backend device;
    MemoryPlan plan;
    tiny_folders();
    tiny_config(&cfg);
    cfg.model.lora.dropout = 0.1;
    REQUIRE_OK(ref_open(&device));
    device.measure = measure;
    for (int op = 0; op < N_OPS; op++) {
        char sentence[128];
        bool used = true;
        missing = (Op)op;
        cfg.model.llm.multiply = missing == OP_quantize_rows || missing == OP_matmul_fp8 ? MULTIPLY_FP8 : MULTIPLY_COMPUTE;
        for (size_t i = 0; i < sizeof UNUSED / sizeof *UNUSED; i++)
            used = used && UNUSED[i] != missing;
        snprintf(sentence, sizeof sentence, "%sno %s", missing == OP_quantize_rows ? MAKING_CODES : "", op_name(missing));
        Status s = memory_measure(&plan, &cfg, &device, F32, &(MemoryRun){.passes = &pass, .n_passes = 1, .samples = &samples});
        CHECK_MSG(s == (used ? ERR_DEVICE : OK) && (!used || !strcmp(status_message(), sentence)), "without %s: status %d: %s",
                  op_name(missing), (int)s, s ? status_message() : "");
    }
    device.close(&device);
}

/* What a run takes of the host for a pass, besides the model and what the process has. */
static int64_t host_bytes(const RunConfig *cfg, DType compute, PassShape pass)
{
    Backend device;
    MemoryPlan plan;
    pass.tokens = 90;
    pass.segments = 4;
    pass.max_segment = 20;
    pass.labels = 9;
    REQUIRE_OK(ref_open(&device));
    REQUIRE_OK(memory_measure(&plan, cfg, &device, compute, &(MemoryRun){.passes = &pass, .n_passes = 1}));
    device.close(&device);
    return plan.workspace - (int64_t)plan.scratch - plan.held;
}

TEST(the_plan_has_room_on_the_host_for_pictures_that_are_encoded_together)
{
    const PassShape targets = {.edit = 4, .target_pictures = 4, .target_size = 64},
                    sources = {.edit = 4, .target_pictures = 4, .source_pictures = 4, .target_size = 64};
    const int64_t pixels = 64 * 64, moments = 32 * 32 * 8 * (int64_t)sizeof(float); /* of the latents of a picture */
    RunConfig cfg;
    REQUIRE_OK(config_load(&cfg, test_fixture("parity/noise_frozen/config.json"), NULL, 0));
    cfg.model.diffusion.size = 64;
    cfg.train.winograd = false;
    cfg.train.micro_images = 1;
    int64_t one = host_bytes(&cfg, F32, targets);
    cfg.train.micro_images = 8;
    int64_t four = host_bytes(&cfg, F32, targets);
    CHECK_INT(four - one, 3 * moments);
    CHECK_INT(four - host_bytes(&cfg, BF16, targets), 6 * pixels);                  /* one picture's at a time */
    CHECK_INT(host_bytes(&cfg, F32, sources) - four, 4 * 3 * pixels + 4 * moments); /* with where the batch has them */
    const int64_t empty = host_bytes(&cfg, F32, (PassShape){0});
    char name[] = "latents", *names[] = {name};
    cfg.data.cache = (StringList){names, 1};
    /* the batch has moments in place of pixels, also of the one that is decoded at a time, and nothing is converted */
    const int64_t tensors = empty - host_bytes(&cfg, F32, (PassShape){0}); /* of the network that is not opened */
    CHECK_INT(four - host_bytes(&cfg, F32, targets) - tensors, (4 + 1) * 3 * pixels - 4 * moments + 24 * pixels);
    CHECK_INT(host_bytes(&cfg, F32, sources) - host_bytes(&cfg, F32, targets), 2 * 4 * moments);
    cfg.data.cache = (StringList){0};
    config_free(&cfg);
}

TEST(the_plan_has_room_on_the_host_for_what_the_text_encoder_makes_of_prompts)
{
    RunConfig cfg;
    REQUIRE_OK(config_load(&cfg, test_fixture("parity/draw_l2norm/config.json"), NULL, 0));
    const int64_t states = cfg.model.gen_head.queries * 20; /* hidden_size of its text encoder */
    int64_t none = host_bytes(&cfg, F32, (PassShape){0});
    CHECK_INT(host_bytes(&cfg, F32, (PassShape){.generate = 3, .edit = 1}) - none, 4 * 4 * states);
    CHECK_INT(host_bytes(&cfg, BF16, (PassShape){.generate = 3, .edit = 1}) - none, (4 * 4 + 2) * states); /* one prompt at a time */
    char name[] = "clip_text", *names[] = {name};
    cfg.data.cache = (StringList){names, 1};
    none = host_bytes(&cfg, BF16, (PassShape){0}); /* fewer tensors */
    CHECK_INT(host_bytes(&cfg, BF16, (PassShape){.generate = 3, .edit = 1}) - none, 2 * 4 * 4 * states);
    cfg.data.cache = (StringList){0};
    config_free(&cfg);
}
