/* model.c: the settings of model folders: Mistral's and SigLIP's config.json, preprocessor_config.json, PEFT's adapter_config.json. The
 * whole model is opened with one of them replaced. */
#include "data/pictures/preprocessor.h"
#include "kernels/ops/table.h"
#include "tests/fuzz/fuzz.h"
#include "train/models/genllava.h"

static const char *const FILES[] = {"bases/llm-gqa/config.json",
                                    "bases/vision-only/config.json",
                                    "bases/vision-only/preprocessor_config.json",
                                    "visual_tokens/start/lora/adapter_config.json",
                                    NULL};
static FuzzWorld world;
static Backend backend;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fuzz_model();
    fuzz_world(&world, FILES);
    fuzz_require(null_open(&backend));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    RunConfig cfg;
    Preprocessor p;
    GenLlava *g;
    fuzz_replace(&world, data, n);
    fuzz_require(config_load(&cfg, fuzz_path("visual_tokens/config.json"), NULL, 0));
    Status s = preprocessor_load(&p, cfg.model.vision.path, true);
    fuzz_check(s);
    if (!s) {
        s = genllava_open(&g, &backend, F32, &cfg, NULL);
        fuzz_check(s);
        if (!s)
            genllava_close(&g);
    }
    config_free(&cfg);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
    return fuzz_world_mutate(&world, data, n, most, seed);
}
