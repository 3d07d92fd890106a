/* Training over frozen weights that are held in codes (model.llm.store): to the bit what a run does whose folder holds them dequantised. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "data/formats/safetensors.h"
#include "tests/harness.h"
#include "tests/train/parity_case.h"
#include "train/nn/params.h"

#define BASE "tests/fixtures/parity/bases/llm-gqa"
enum { PATH_BYTES = 512, MAX_ELEMS = 1 << 13 };

static bool is_linear(const char *name) { return strstr(name, "_proj.weight") != NULL; }

/* The values of a matrix as the registry gives them back, which tests/train/nn/coded.c compares with bitsandbytes. */
static void dequantised(const StTensor *from, CodeFormat format, float *values)
{
    Backend ref;
    Params p;
    REQUIRE_OK(ref_open(&ref));
    params_init(&p, &ref, F32);
    p.group.format = format;
    Param *q = params_declare(&p, &(ParamSpec){.name = "w", .n_dims = 2, .shape = {from->shape[0], from->shape[1]}, .storable = true});
    REQUIRE(q);
    REQUIRE_OK(params_create(&p));
    REQUIRE_OK(params_place(&p, q, from->data, from->type));
    REQUIRE_OK(params_get(&p, q, values));
    params_destroy(&p);
    ref.close(&ref);
}

static void copy_file(const char *name, const char *folder)
{
    char from[PATH_BYTES], to[PATH_BYTES], command[3 * PATH_BYTES];
    snprintf(from, sizeof from, BASE "/%s", name);
    snprintf(to, sizeof to, "%s/%s", folder, name);
    snprintf(command, sizeof command, "cp %s %s", from, to);
    REQUIRE(!system(command));
}

/* The base with its layers' matrices dequantised, of `type`, in the order of its file. */
static void write_dequantised(const char *folder, CodeFormat format, DType type)
{
    char path[PATH_BYTES];
    SafeTensors *st;
    StWriter *w;
    StSpec spec[128];
    REQUIRE(!mkdir(folder, 0777));
    copy_file("config.json", folder);
    copy_file("tokenizer.model", folder);
    REQUIRE_OK(safetensors_open_folder(&st, BASE, "model"));
    const int n = safetensors_count(st);
    REQUIRE(n <= 128);
    for (int i = 0; i < n; i++) {
        const StTensor *t = safetensors_at(st, i);
        spec[i] = (StSpec){.name = t->name, .type = is_linear(t->name) ? type : t->type, .n_dims = t->n_dims};
        memcpy(spec[i].shape, t->shape, sizeof spec[i].shape);
    }
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    REQUIRE_OK(stwriter_open(&w, path, spec, n));
    for (int i = 0; i < n; i++) {
        const StTensor *t = safetensors_at(st, i);
        if (!is_linear(t->name)) {
            REQUIRE_OK(stwriter_write(w, t->data, t->n_bytes));
            continue;
        }
        float values[MAX_ELEMS], typed[MAX_ELEMS];
        REQUIRE(t->n_elems <= MAX_ELEMS);
        dequantised(t, format, values);
        dtype_convert(typed, type, values, F32, (size_t)t->n_elems);
        REQUIRE_OK(stwriter_write(w, typed, (size_t)t->n_elems * dtype_size(type)));
    }
    REQUIRE_OK(stwriter_close(&w));
    safetensors_close(&st);
}

static void same_dumps(const char *a, const char *b, int n_steps)
{
    for (int step = 0; step < n_steps; step++) {
        char path[2][PATH_BYTES + 32];
        SafeTensors *st[2];
        for (int i = 0; i < 2; i++) {
            snprintf(path[i], sizeof path[i], "%s/step-%06d.safetensors", i ? b : a, step);
            REQUIRE_OK(safetensors_open(&st[i], path[i]));
        }
        const int n = safetensors_count(st[0]);
        CHECK_INT(n, safetensors_count(st[1]));
        for (int i = 0; i < n; i++) {
            const StTensor *t = safetensors_at(st[0], i), *same = safetensors_find(st[1], t->name);
            CHECK_MSG(same && t->n_bytes == same->n_bytes && !memcmp(t->data, same->data, t->n_bytes), "step %d: %s differs", step,
                      t->name);
        }
        safetensors_close(&st[0]);
        safetensors_close(&st[1]);
    }
}

/* The same run over codes, and over a folder of what they stand for. more: another setting. */
static void equal_runs(const Trainer *trainer, const char *name, const char *store, DType compute, int n_steps)
{
    char config[PATH_BYTES], folder[PATH_BYTES], from[PATH_BYTES + 32], held[64], dump[2][PATH_BYTES];
    snprintf(config, sizeof config, "tests/fixtures/parity/%s/config.json", name);
    snprintf(folder, sizeof folder, "%s/dequantised", test_dir());
    snprintf(from, sizeof from, "model.llm.path=%s", folder);
    snprintf(held, sizeof held, "model.llm.store=%s", store);
    write_dequantised(folder, !strcmp(store, "nf4") ? CODES_NF4 : CODES_INT8, compute);
    for (int i = 0; i < 2; i++) {
        snprintf(dump[i], sizeof dump[i], "%s/dump-%d", test_dir(), i);
        parity_train(trainer, config, dump[i], i ? from : held);
    }
    same_dumps(dump[0], dump[1], n_steps);
}

#define ON_CPU(...) (&(Trainer){.program = "train", .set = {__VA_ARGS__}})
#define ON_CUDA(...) (&(Trainer){.program = "train-cuda-host", .set = {"device=cuda", __VA_ARGS__}})

TEST(nf4_trains_as_its_values_do) { equal_runs(ON_CPU("train.recompute=none"), "visual_tokens", "nf4", F32, 5); }
TEST(nf4_trains_as_its_values_do_in_bf16)
{
    equal_runs(ON_CPU("train.compute=bf16", "train.recompute=block"), "defaults_like", "nf4", BF16, 5);
}
TEST(int8_trains_as_its_values_do) { equal_runs(ON_CPU("model.lora.dropout=0.1"), "defaults_like", "int8", F32, 5); }
TEST(int8_trains_as_its_values_do_in_bf16) { equal_runs(ON_CPU("train.compute=bf16"), "visual_tokens", "int8", BF16, 5); }
TEST(nf4_trains_as_its_values_do_on_emulated_cuda)
{
    equal_runs(ON_CUDA("train.compute=bf16", "train.steps=2"), "visual_tokens", "nf4", BF16, 2);
}
TEST(int8_trains_as_its_values_do_on_emulated_cuda)
{
    equal_runs(ON_CUDA("model.lora.dropout=0.1", "train.steps=2"), "visual_tokens", "int8", F32, 2);
}
