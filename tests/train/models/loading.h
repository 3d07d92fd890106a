/* loading.h: what tests of reading folders share: one config, tensors to write, and a model opened with them. */
#ifndef GENLLAVA_TESTS_TRAIN_MODELS_LOADING_H
#define GENLLAVA_TESTS_TRAIN_MODELS_LOADING_H

#include <stdarg.h>
#include <stdio.h>

#include "tests/train/models/tiny.h"

static RunConfig CFG;
static TinyTensors TENSORS;

static const char *path(const char *name)
{
    static char p[4][1024];
    static int next;
    next = (next + 1) % 4;
    snprintf(p[next], sizeof p[0], "%s/%s", test_dir(), name);
    return p[next];
}

static const char *text(const char *format, ...) PRINTF_LIKE(1, 2);
static const char *text(const char *format, ...)
{
    static char t[4096];
    va_list a;
    va_start(a, format);
    vsnprintf(t, sizeof t, format, a);
    va_end(a);
    return t;
}

static void start(void)
{
    tiny_folders();
    tiny_config(&CFG);
}

static inline Status open_model(void)
{
    TinyModel m;
    Status s = tiny_open(&m, &CFG, F32, RECOMPUTE_NONE);
    tiny_close(&m);
    return s;
}

/* The first loss of the tiny batch. */
static inline double loss(void)
{
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &CFG, F32, RECOMPUTE_NONE));
    double l = tiny_step(&m, tiny_batch(genllava_model_sizes(m.g)), NULL, false);
    tiny_close(&m);
    return l;
}

static inline void adapter(const char *config, const char *prefix, DType type)
{
    static const struct {
        const char *name;
        int64_t out, in;
    } LINEARS[] = {{"self_attn.q_proj", 64, 64}, {"mlp.down_proj", 64, 128}};
    TENSORS.n = 0;
    TENSORS.type = type;
    for (int l = 0; l < 2; l++)
        for (int i = 0; i < 2; i++) {
            char name[128];
            snprintf(name, sizeof name, "%slayers.%d.%s.lora_A.weight", prefix, l, LINEARS[i].name);
            tiny_add(&TENSORS, name, 2, 4, LINEARS[i].in, 0, 0);
            snprintf(name, sizeof name, "%slayers.%d.%s.lora_B.weight", prefix, l, LINEARS[i].name);
            tiny_add(&TENSORS, name, 2, LINEARS[i].out, 4, 0, 0);
        }
    tiny_write(path("adapter"), "adapter_config.json", config);
    tiny_save(&TENSORS, path("adapter/adapter_model.safetensors"), 3000);
}

#define ADAPTER "\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8"
static inline void start_adapter(void)
{
    static char folder[1024];
    start();
    static char first[] = "q_proj", second[] = "down_proj", *targets[] = {first, second};
    CFG.model.lora.targets = (StringList){targets, 2};
    snprintf(folder, sizeof folder, "%s/adapter", test_dir());
    CFG.model.lora.init = folder;
}

typedef struct ConfigCase {
    const char *json, *message;
} ConfigCase;
#endif
