/* diffusion.c: the settings of a diffusion folder, one of them replaced: config.json of UNet, VAE and text encoder, scheduler_config.json.
 * The folder holds no weights, so that its networks are planned as if drawn: any size that is taken is declared and goes through a pass. */
#include "kernels/ops/table.h"
#include "tests/fuzz/fuzz.h"
#include "train/measure/memory.h"
#include "train/models/genllava.h"

static const char *const REPLACED[] = {"bases/diffusion-noise/unet/config.json", "bases/diffusion-noise/vae/config.json",
                                       "bases/diffusion-noise/text_encoder/config.json",
                                       "bases/diffusion-noise/scheduler/scheduler_config.json", NULL};
static FuzzWorld world;
static Backend backend;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char *const OTHERS[] = {"bases/llm-gqa/config.json", "bases/llm-gqa/model.safetensors", "bases/llm-gqa/tokenizer.model",
                                         "bases/diffusion-noise/tokenizer/vocab.json", "bases/diffusion-noise/tokenizer/merges.txt",
                                         "noise_frozen/config.json", "noise_frozen/mixture.json", NULL};
    (void)argc, (void)argv;
    fuzz_fixtures(OTHERS);
    fuzz_fixtures(REPLACED);
    fuzz_world(&world, REPLACED);
    fuzz_require(null_open(&backend));
    return 0;
}

/* One picture to draw, of each kind of loss one. */
static Status measure(const RunConfig *cfg)
{
    const PassShape pass = {.tokens = 8, .segments = 2, .labels = 2, .generate = 1, .edit = 1, .target_pictures = 1, .max_segment = 4,
                            .target_size = (int32_t)cfg->model.diffusion.size};
    MemoryPlan plan;
    return memory_walk(&plan, &backend, cfg, F32, &(MemoryRun){.passes = &pass, .n_passes = 1, .tokens = pass.tokens}, NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const SETS[] = {"model.vision.path=null",       "model.lora.init=default", "model.tokens.init=default",
                                       "model.gen_head.init=default",  "loss.generate=mse",       "debug.replay=null",
                                       "model.projector.init=default", "model.gen_head.queries=5"};
    RunConfig cfg;
    ModelSizes sizes;
    fuzz_replace(&world, data, n);
    fuzz_require(config_load(&cfg, fuzz_path("noise_frozen/config.json"), SETS, sizeof SETS / sizeof *SETS));
    cfg.plan_only = true;
    Status s = genllava_sizes(&sizes, &cfg);
    fuzz_check(s);
    if (!s)
        fuzz_check(measure(&cfg));
    config_free(&cfg);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
    return fuzz_world_mutate(&world, data, n, most, seed);
}
