/* model.c: the settings of model folders: config.json of Mistral and of SigLIP, preprocessor_config.json, processor_config.json,
 * generation_config.json, PEFT's adapter_config.json. The whole model is opened with one of them replaced. */
#include "data/pictures/preprocessor.h"
#include "kernels/ops/table.h"
#include "tests/fuzz/fuzz.h"
#include "train/models/generation.h"
#include "train/models/genllava.h"

enum { PREPROCESSOR = 2, PROCESSOR = 3 };
static const char *const FILES[] = {"bases/llm-gqa/config.json",
                                    "bases/vision-only/config.json",
                                    [PREPROCESSOR] = "bases/vision-only/preprocessor_config.json",
                                    [PROCESSOR] = "bases/vision-only/processor_config.json",
                                    "bases/llm-gqa/generation_config.json",
                                    "visual_tokens/start/lora/adapter_config.json",
                                    NULL};
static FuzzWorld world;
static Backend backend;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char processor[] = "{\"image_processor\": {\"size\": {\"height\": 32, \"width\": 32}, \"image_mean\": [0.5, 0.5, 0.5], "
                                    "\"image_std\": [0.5, 0.5, 0.5], \"resample\": 3, \"rescale_factor\": 0.00392156862745098}}";
    static const char generation[] = "{\"eos_token_id\": [2, 5], \"do_sample\": false, \"temperature\": 1.0}";
    (void)argc, (void)argv;
    fuzz_model();
    fuzz_put(FILES[PROCESSOR], processor, sizeof processor - 1);
    fuzz_put(FILES[PROCESSOR + 1], generation, sizeof generation - 1);
    fuzz_world(&world, FILES);
    fuzz_require(null_open(&backend));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    RunConfig cfg;
    Preprocessor p;
    GenLlava *g;
    EndTokens ends = {0};
    const int k = fuzz_replace(&world, data, n);
    if (k == PREPROCESSOR) /* where both are, the other one counts */
        fuzz_put(FILES[PROCESSOR], "{}", 2);
    else if (k != PROCESSOR || n < 2)
        fuzz_put(FILES[PROCESSOR], world.bytes[PROCESSOR], world.n_bytes[PROCESSOR]);
    fuzz_require(config_load(&cfg, fuzz_path("visual_tokens/config.json"), NULL, 0));
    fuzz_check(generation_read(&ends, cfg.model.llm.path, true));
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
