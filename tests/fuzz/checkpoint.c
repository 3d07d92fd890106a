/* checkpoint.c: a checkpoint of which one file was made by somebody, with a manifest that is right about it; or whose manifest itself was,
 * with a right hash at its end. It is found, verified and resumed from. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "kernels/ops/table.h"
#include "tests/fuzz/fuzz.h"
#include "train/store/checkpoint.h"
#include "train/store/manifest.h"

#define CHECKPOINT "run/checkpoint-000003"
static const char *const FILES[] = {CHECKPOINT "/MANIFEST.json",         CHECKPOINT "/state.json",
                                    CHECKPOINT "/config.resolved.json",  CHECKPOINT "/adapter_config.json",
                                    CHECKPOINT "/token_rows.json",       CHECKPOINT "/token_rows.safetensors",
                                    CHECKPOINT "/projector.safetensors", CHECKPOINT "/optimizer.safetensors",
                                    NULL};
#define DATA "{\"inputs\":[{\"path\":\"a.json\",\"bytes\":5,\"sha256\":\"00\"}]}"
static FuzzWorld world;
static Backend backend;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    RunConfig cfg;
    GenLlava *g;
    Backend cpu;
    (void)argc, (void)argv;
    fuzz_model();
    fuzz_require(file_make_folders(fuzz_path("run")));
    fuzz_require(config_load(&cfg, fuzz_path("visual_tokens/config.json"), NULL, 0));
    fuzz_require(cpu_open(&cpu));
    fuzz_require(genllava_open(&g, &cpu, F32, &cfg, NULL));
    fuzz_require(checkpoint_save(fuzz_path("run"), g, &cfg, &(TrainState){.step = 3, .samples = 15, .tokens = 300, .data = DATA}));
    genllava_close(&g);
    cpu.close(&cpu);
    config_free(&cfg);
    fuzz_world(&world, FILES);
    fuzz_require(null_open(&backend));
    return 0;
}

/* The manifest as the input says it, up to its hash. */
static void seal_manifest(const uint8_t *data, size_t n)
{
    static const char mark[] = ",\n\"manifest_xxh3\"";
    static char text[1 << 16];
    size_t before = n < sizeof text - 128 ? n : sizeof text - 128;
    memcpy(text, data, before);
    const char *end = memmem(text, before, mark, sizeof mark - 1);
    before = end ? (size_t)(end - text) : before;
    XXH128_hash_t h = XXH3_128bits(text, before);
    int tail = sprintf(text + before, "%s: \"%016llx%016llx\"}\n", mark, (unsigned long long)h.high64, (unsigned long long)h.low64);
    fuzz_put(FILES[0], text, before + (size_t)tail);
}

static void resume(const char *path)
{
    RunConfig cfg;
    GenLlava *g;
    TrainState state;
    bool known;
    char *difference = NULL;
    fuzz_check(checkpoint_compare_data(path, DATA, &known, &difference));
    mem_free(difference);
    Status s = checkpoint_config(path, NULL, 0, &cfg);
    fuzz_check(s);
    if (s)
        return;
    fuzz_check(checkpoint_check_bases(path, &cfg));
    s = genllava_open(&g, &backend, F32, &cfg, path);
    fuzz_check(s);
    if (!s) {
        s = checkpoint_check_shapes(path, g);
        fuzz_check(s);
        if (!s)
            fuzz_check(checkpoint_resume(path, g, &cfg, false, &state));
        genllava_close(&g);
    }
    config_free(&cfg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char newest[PATH_MAX];
    const int k = fuzz_replace(&world, data, n);
    if (k) {
        unlink(fuzz_path(FILES[0])); /* it would name itself */
        fuzz_require(manifest_write(fuzz_path(CHECKPOINT), NULL, 0));
    } else if (n > 1) {
        seal_manifest(data + 1, n - 1);
    } else {
        fuzz_put(FILES[0], world.bytes[0], world.n_bytes[0]);
    }
    Status s = checkpoint_newest(fuzz_path("run"), newest);
    fuzz_check(s);
    if (!s)
        resume(newest);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
    return fuzz_world_mutate(&world, data, n, most, seed);
}
