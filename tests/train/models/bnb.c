/* Language models that bitsandbytes has quantised (train/models/bnb.h): tests/fixtures/bnb, made by tests/oracle/bnb.py. */
#include <stdio.h>
#include <stdlib.h>

#include "data/formats/safetensors.h"
#include "tests/train/models/loading.h"
#include "train/nn/params.h"

/* The folder as it is, for a model of text alone. */
static void use_folder(const char *name)
{
    static char folder[512];
    tiny_config(&CFG);
    snprintf(folder, sizeof folder, "%s/%s", test_fixture("bnb"), name);
    CFG.model.llm.path = folder;
    CFG.model.vision.path = NULL;
}

static void same_values(const char *name)
{
    char path_[512], ours[256];
    TinyModel m;
    SafeTensors *st;
    use_folder(name);
    snprintf(path_, sizeof path_, "%s/%s.safetensors", test_fixture("bnb"), name);
    REQUIRE_OK(safetensors_open(&st, path_));
    REQUIRE_OK(tiny_open(&m, &CFG, F32, RECOMPUTE_NONE));
    CHECK_INT(safetensors_count(st), 7);
    for (int i = 0; i < safetensors_count(st); i++) {
        const StTensor *want = safetensors_at(st, i);
        float found[48 * 32];
        snprintf(ours, sizeof ours, "%s", want->name);
        const Param *q = params_find(genllava_params(m.g), ours);
        REQUIRE(q && q->t.n_elems == want->n_elems && q->t.n_elems <= 48 * 32);
        CHECK(q->coded.format == (strcmp(name, "nf4") ? CODES_INT8 : CODES_NF4));
        REQUIRE_OK(params_get(genllava_params(m.g), q, found));
        CHECK_MSG(!memcmp(found, want->data, want->n_bytes), "%s: %s differs from what bitsandbytes reads", name, want->name);
    }
    tiny_close(&m);
    safetensors_close(&st);
}

TEST(weights_of_bitsandbytes_are_read_as_they_are)
{
    same_values("nf4");
    same_values("int8");
}

TEST(weights_of_bitsandbytes_are_what_the_settings_say_or_refused)
{
    use_folder("nf4");
    CFG.model.llm.store = STORE_NF4;
    CHECK_OK(open_model());
    CFG.model.llm.store = STORE_INT8;
    CHECK_FAILS(open_model(), ERR_USAGE, text("model.llm.store asks for another format than nf4, which the weights of %s are in "
                                              "(quantization_config of its config.json): take model.llm.store out, or take a folder that "
                                              "is not quantised", CFG.model.llm.path));
    CFG.model.llm.store = STORE_AS_IS;
    CFG.model.llm.multiply = MULTIPLY_FP8;
    CHECK_FAILS(open_model(), ERR_USAGE, text("model.llm.multiply is \"fp8\", but the weights of %s are in nf4 (quantization_config of "
                                              "its config.json): take model.llm.multiply out, or take a folder that is not quantised",
                                              CFG.model.llm.path));
    CFG.model.llm.multiply = MULTIPLY_COMPUTE;
    CFG.model.llm.train = TRAIN_FULL;
    CHECK_FAILS(open_model(), ERR_USAGE, text("model.llm.train is \"full\", but the weights of %s are in nf4 (quantization_config of its "
                                              "config.json): train \"lora\", or take a folder that is not quantised", CFG.model.llm.path));
}

enum { MOST = 256 };

/* A copy of the folder, without the tensor `name`, or with other bytes in it. */
static void damage(const char *folder, const char *name, const char *bytes)
{
    char file[512], command[1200];
    SafeTensors *st;
    StWriter *w;
    StSpec spec[MOST];
    int from[MOST], n = 0;
    use_folder(folder);
    snprintf(command, sizeof command, "rm -rf %s && cp -r %s %s", path("llm"), CFG.model.llm.path, path("llm"));
    REQUIRE(!system(command));
    snprintf(file, sizeof file, "%s/model.safetensors", CFG.model.llm.path);
    REQUIRE_OK(safetensors_open(&st, file));
    REQUIRE(safetensors_count(st) <= MOST);
    for (int i = 0; i < safetensors_count(st); i++) {
        const StTensor *t = safetensors_at(st, i);
        const bool named = !strcmp(t->name, name);
        if (named && !bytes)
            continue;
        spec[n] = (StSpec){.name = t->name, .type = t->type, .n_dims = t->n_dims};
        memcpy(spec[n].shape, t->shape, sizeof t->shape);
        if (named && t->n_dims)
            spec[n].shape[0] = (int64_t)(strlen(bytes) / dtype_size(t->type));
        from[n++] = i;
    }
    REQUIRE_OK(stwriter_open(&w, path("llm/model.safetensors"), spec, n));
    for (int i = 0; i < n; i++) {
        const StTensor *t = safetensors_at(st, from[i]);
        const bool named = !strcmp(t->name, name);
        REQUIRE_OK(stwriter_write(w, named ? bytes : t->data, named ? strlen(bytes) : t->n_bytes));
    }
    REQUIRE_OK(stwriter_close(&w));
    safetensors_close(&st);
    snprintf(CFG.model.llm.path, 512, "%s", path("llm"));
}

#define DOWN "model.layers.0.mlp.down_proj."
#define STATE "weight.quant_state.bitsandbytes__nf4"

TEST(weights_of_bitsandbytes_that_are_not_whole_are_refused)
{
    static const struct {
        const char *folder, *tensor, *bytes, *said;
    } BAD[] = {
        {"nf4", "weight.absmax", NULL, "no tensor " DOWN "weight.absmax in it, which belongs to " DOWN "weight of bitsandbytes"},
        {"nf4", "weight.absmax", "short", DOWN "weight.absmax: holds 5 of U8, expected 24 of U8"},
        {"nf4", "weight.nested_absmax", NULL,
         "no tensor " DOWN "weight.nested_absmax in it, which belongs to " DOWN "weight of bitsandbytes"},
        {"nf4", "weight.quant_map", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
         DOWN "weight.quant_map: holds other values than nf4 has"},
        {"nf4", STATE, NULL, "no tensor " DOWN STATE " of U8 in it: only nf4 of bitsandbytes is supported in 4 bits"},
        {"nf4", STATE, "{\"quant_type\":\"nf4\",\"blocksize\":128,\"shape\":[32,48]}",
         DOWN "weight.quant_state:1:33: blocksize is 128, only 64 is supported"},
        {"nf4", STATE, "{\"quant_type\":\"nf4\",\"blocksize\":64,\"shape\":[48,32]}",
         DOWN "weight.quant_state:1:44: shape is not that of the model, [32, 48]"},
        {"nf4", "weight", "codes", DOWN "weight: holds 5 of U8, expected 768 of U8: the codes of a matrix [32, 48]"},
        {"int8", "SCB", NULL, "no tensor " DOWN "SCB of 32 scales in F32 in it, which belongs to " DOWN "weight of bitsandbytes"},
        {"int8", "weight_format", "\1",
         DOWN "weight_format: the codes are not in rows, which is not supported: save the model with a newer bitsandbytes"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        char name[128], wanted[512];
        snprintf(name, sizeof name, DOWN "%s", BAD[i].tensor);
        damage(BAD[i].folder, name, BAD[i].bytes);
        snprintf(wanted, sizeof wanted, "reading the language model: %s: %s", path("llm/model.safetensors"), BAD[i].said);
        CHECK_FAILS(open_model(), ERR_DATA, wanted);
    }
}
