/* prompts.c: what a run is asked while it trains (sample.prompts). */
#include <stdio.h>

#include "tests/fuzz/fuzz.h"
#include "train/log/samples.h"

static RunConfig cfg;
static ModelSizes sizes;
static Preprocessor preprocessor;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char prompts[PATH_MAX + 32];
    const char *const sets[] = {"sample.every=1", prompts};
    (void)argc, (void)argv;
    fuzz_model();
    snprintf(prompts, sizeof prompts, "sample.prompts=%s", fuzz_path("prompts.jsonl"));
    fuzz_require(config_load(&cfg, fuzz_path("visual_tokens/config.json"), sets, 2));
    fuzz_require(genllava_sizes(&sizes, &cfg));
    fuzz_require(preprocessor_load(&preprocessor, cfg.model.vision.path, true));
    fuzz_copy("a.png", "tests/fixtures/images/rgb.png");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Samples s;
    fuzz_put("prompts.jsonl", data, n);
    fuzz_check(samples_load(&s, &cfg, &sizes, &preprocessor));
    samples_free(&s);
    return 0;
}
