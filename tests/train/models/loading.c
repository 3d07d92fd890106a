/* Reading folders: spellings, prefixes, types, starting points, and the sentence for each thing that does not fit. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/train/models/loading.h"

static void save_llm(const char *without, const char *reshaped)
{
    TENSORS = (TinyTensors){.type = F32};
    tiny_llm_tensors(&TENSORS, "model.", false);
    if (without)
        tiny_remove(&TENSORS, without);
    if (reshaped)
        tiny_find(&TENSORS, reshaped)->shape[1] = 60;
    tiny_save(&TENSORS, path("llm/model.safetensors"), 1000);
}

/* ---------------------------------------------------------------- tensors that do not fit */

TEST(the_first_missing_tensor_is_named)
{
    start();
    save_llm("model.layers.1.mlp.up_proj.weight", NULL);
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the language model: %s/llm/model.safetensors: no tensor "
                                             "model.layers.1.mlp.up_proj.weight in it; the model has one of shape [128, 64]", test_dir()));
    start();
    save_llm("lm_head.weight", NULL);
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the language model: %s/llm/model.safetensors: no tensor lm_head.weight in it; the "
                                             "model has one of shape [320, 64]", test_dir()));
}

TEST(a_misshapen_tensor_is_named_with_both_shapes)
{
    start();
    save_llm(NULL, "model.layers.0.self_attn.k_proj.weight");
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the language model: %s/llm/model.safetensors: "
                                             "model.layers.0.self_attn.k_proj.weight: shape is [32, 60] in the file, [32, 64] in the "
                                             "model", test_dir()));
}

TEST(a_tensor_of_integers_is_refused)
{
    start();
    TENSORS = (TinyTensors){.type = F32};
    tiny_llm_tensors(&TENSORS, "model.", false);
    StWriter *w;
    StSpec *s = tiny_find(&TENSORS, "model.norm.weight");
    s->type = I32;
    REQUIRE_OK(stwriter_open(&w, path("llm/model.safetensors"), TENSORS.spec, TENSORS.n));
    static float zeros[320 * 64];
    for (int i = 0; i < TENSORS.n; i++) {
        size_t n = dtype_size(TENSORS.spec[i].type);
        for (int k = 0; k < TENSORS.spec[i].n_dims; k++)
            n *= (size_t)TENSORS.spec[i].shape[k];
        REQUIRE_OK(stwriter_write(w, zeros, n));
    }
    REQUIRE_OK(stwriter_close(&w));
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the language model: %s/llm/model.safetensors: model.norm.weight: holds I32, "
                                             "expected F32, BF16, F16 or F64", test_dir()));
}

/* What goes to stderr while the model is opened. */
static const char *said(void)
{
    static char heard[4096];
    FILE *f = fopen(path("stderr"), "w+");
    REQUIRE(f != NULL);
    fflush(stderr);
    int old = dup(2);
    dup2(fileno(f), 2);
    Status s = open_model();
    fflush(stderr);
    dup2(old, 2);
    close(old);
    REQUIRE_OK(s);
    rewind(f);
    heard[fread(heard, 1, sizeof heard - 1, f)] = 0;
    fclose(f);
    return heard;
}

/* Frequencies of theta 10000 for a head of 16, as old exports hold them. */
static void save_with_frequencies(double theta)
{
    SafeTensors *from;
    StWriter *w;
    static StSpec specs[64];
    static float copy[64][320 * 64];
    static char names[64][128];
    float frequencies[8];
    int n = 0;
    REQUIRE_OK(safetensors_open(&from, path("llm/model.safetensors")));
    for (; n < safetensors_count(from); n++) {
        const StTensor *t = safetensors_at(from, n);
        snprintf(names[n], sizeof names[n], "%s", t->name);
        specs[n] = (StSpec){.name = names[n], .type = t->type, .n_dims = t->n_dims};
        memcpy(specs[n].shape, t->shape, sizeof t->shape);
        memcpy(copy[n], t->data, t->n_bytes);
    }
    safetensors_close(&from);
    for (int i = 0; i < 8; i++)
        frequencies[i] = (float)pow(theta, -i / 8.0);
    specs[n] = (StSpec){.name = "model.layers.0.self_attn.rotary_emb.inv_freq", .type = F32, .n_dims = 1, .shape = {8}};
    memcpy(copy[n++], frequencies, sizeof frequencies);
    REQUIRE_OK(stwriter_open(&w, path("llm/model.safetensors"), specs, n));
    for (int i = 0; i < n; i++) {
        size_t bytes = dtype_size(specs[i].type);
        for (int k = 0; k < specs[i].n_dims; k++)
            bytes *= (size_t)specs[i].shape[k];
        REQUIRE_OK(stwriter_write(w, copy[i], bytes));
    }
    REQUIRE_OK(stwriter_close(&w));
}

TEST(frequencies_beside_the_weights_must_be_those_of_the_config)
{
    start();
    save_with_frequencies(10000);
    CHECK_STR(said(), "");
    start();
    save_with_frequencies(1e6);
    CHECK_FAILS(open_model(), ERR_DATA, text("%s/llm/model.safetensors: model.layers.0.self_attn.rotary_emb.inv_freq holds other "
                                             "frequencies than those of rope_theta 10000 in config.json", test_dir()));
}

TEST(a_tensor_that_nothing_reads_is_refused)
{
    start();
    CHECK_STR(said(), "");
    TENSORS = (TinyTensors){.type = F32};
    tiny_llm_tensors(&TENSORS, "model.", false);
    tiny_add(&TENSORS, "model.layers.1.self_attn.q_proj.bias", 1, 64, 0, 0, 0);
    tiny_add(&TENSORS, "score.weight", 2, 2, 64, 0, 0);
    tiny_save(&TENSORS, path("llm/model.safetensors"), 1000);
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the language model: %s/llm/model.safetensors: 2 tensors are no part of this model, "
                                             "and nothing would read them: model.layers.1.self_attn.q_proj.bias, score.weight",
                                             test_dir()));
    tiny_remove(&TENSORS, "score.weight");
    tiny_save(&TENSORS, path("llm/model.safetensors"), 1000);
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the language model: %s/llm/model.safetensors: 1 tensor is no part of this model, "
                                             "and nothing would read it: model.layers.1.self_attn.q_proj.bias", test_dir()));
}

/* Block 2 lies behind the feature layer; of blocks 0 and 1 every tensor counts. */
TEST(a_tensor_of_an_executed_block_is_refused)
{
    for (int block = 1; block <= 2; block++) {
        start();
        TENSORS = (TinyTensors){.type = F32};
        tiny_vision_tensors(&TENSORS, "vision_model.");
        tiny_add(&TENSORS, text("vision_model.encoder.layers.%d.layer_scale", block), 1, 48, 0, 0, 0);
        tiny_save(&TENSORS, path("vision/model.safetensors"), 2000);
        if (block == 2)
            CHECK_OK(open_model());
        else
            CHECK_FAILS(open_model(), ERR_DATA, text("reading the vision tower: %s/vision/model.safetensors: 1 tensor is no part of this "
                                                     "model, and nothing would read it: vision_model.encoder.layers.1.layer_scale",
                                                     test_dir()));
    }
}

/* ---------------------------------------------------------------- config.json of the language model */

#define LLM_FIELDS "\"vocab_size\":320,\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":2,\"num_attention_heads\":4"
#define THREE_MISSING                                                                                                       \
    "\n%s: intermediate_size is missing, expected an integer\n%s: num_hidden_layers is missing, expected an integer\n%s: " \
    "num_attention_heads is missing, expected an integer"
#define FOUR_MISSING "\n%s: hidden_size is missing, expected an integer" THREE_MISSING
static const ConfigCase BAD_LLM[] = {
    {"[]", "%s:1:1: expected an object, found an array"},
    {"{" LLM_FIELDS ",\"num_key_value_heads\":2,\"model_type\":\"gpt2\"}",
     "%s:1:143: model_type is \"gpt2\", expected \"mistral\" or \"llama\""},
    {"{\"hidden_size\":64}", "%s: vocab_size is missing, expected an integer" THREE_MISSING},
    {"{\"vocab_size\":\"x\"}", "%s:1:15: vocab_size is a string, expected an integer" FOUR_MISSING},
    {"{\"vocab_size\":0}", "%s:1:15: vocab_size is 0, expected 1 … 16777216" FOUR_MISSING},
    {"{" LLM_FIELDS ",\"num_key_value_heads\":2,\"attention_bias\":true,\"rms_norm_eps\":\"1e-6\"}",
     "%s:1:147: attention_bias is true, which is not supported\n%s:1:167: rms_norm_eps is a string, expected a number"},
    {"{" LLM_FIELDS "}", "%s:1:104: num_attention_heads is 4, not a multiple of the 8 key/value heads"},
    {"{" LLM_FIELDS ",\"num_key_value_heads\":2,\"hidden_act\":\"gelu\"}",
     "%s:1:143: hidden_act is \"gelu\", expected \"silu\" or \"swish\""},
    {"{" LLM_FIELDS ",\"num_key_value_heads\":2,\"head_dim\":15}", "%s:1:141: head_dim is 15, expected an even number from 2 to 512"},
    {"{" LLM_FIELDS ",\"num_key_value_heads\":2,\"rope_scaling\":{\"type\":\"dynamic\"}}",
     "%s:1:145: rope_scaling has the rope_type \"dynamic\", only \"default\" and \"linear\" are supported"},
    {"{" LLM_FIELDS ",\"num_key_value_heads\":2,\"rope_parameters\":{\"rope_type\":\"yarn\"}}",
     "%s:1:148: rope_parameters has the rope_type \"yarn\", only \"default\" and \"linear\" are supported"},
    {"{" LLM_FIELDS ",\"num_key_value_heads\":2,\"attention_bias\":true}",
     "%s:1:147: attention_bias is true, which is not supported"},
    {"{" LLM_FIELDS ",\"num_key_value_heads\":2,\"quantization_config\":{\"bits\":4}}",
     "%s:1:152: quantization_config is of an unknown method; only nf4 and int8 of bitsandbytes are read"},
    {"{" LLM_FIELDS ",\"num_key_value_heads\":2,\"attention_dropout\":0.1}",
     "%s:1:150: attention_dropout is 0.1, which is not supported"},
    {"{" LLM_FIELDS ",\"num_key_value_heads\":2,\"num_local_experts\":8}",
     "%s:1:150: num_local_experts is 8; this key is not known, so it passes only as null, false, 0, {} or []"},
    {"{" LLM_FIELDS ",\"num_key_value_heads\":2,\"sliding_window\":5,\"layer_types\":[\"sliding_attention\",\"full_attention\"]}",
     "%s:1:184: layer_types holds full_attention; with sliding_window as it is only \"sliding_attention\" is supported"},
    {"{" LLM_FIELDS ",\"num_key_value_heads\":2,\"rope_scaling\":{\"type\":\"default\",\"factor\":2.0}}",
     "%s:1:172: factor is 2, expected 1"},
};

TEST(a_config_of_another_model_is_refused)
{
    start();
    for (size_t i = 0; i < sizeof BAD_LLM / sizeof *BAD_LLM; i++) {
        tiny_write(path("llm"), "config.json", BAD_LLM[i].json);
        char wanted[4096] = "";
        for (const char *at = BAD_LLM[i].message; *at; at += strcspn(at, "\n") + 1) { /* a line begins with %s, the file */
            const int n = (int)strcspn(at, "\n");
            snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%s%s/llm/config.json%.*s", *wanted ? "\n" : "", test_dir(),
                     n - 2, at + 2);
            if (!at[n])
                break;
        }
        CHECK_FAILS(open_model(), ERR_DATA, wanted);
    }
    remove(path("llm/config.json"));
    CHECK_FAILS(open_model(), ERR_MISSING, text("%s/llm/config.json: cannot be opened: No such file or directory", test_dir()));
}

TEST(what_is_wrong_with_any_folder_is_told_at_once)
{
    start();
    tiny_write(path("llm"), "config.json", "{" LLM_FIELDS ",\"num_key_value_heads\":2,\"attention_bias\":true}");
    tiny_write(path("vision"), "config.json", "{\"qkv_bias\":true}");
    CHECK_FAILS(open_model(), ERR_DATA, text("%s/llm/config.json:1:147: attention_bias is true, which is not supported\n"
                                             "%s/vision/config.json:1:13: qkv_bias is true; this key is not known, so it passes only as "
                                             "null, false, 0, {} or []", test_dir(), test_dir()));
}

/* New and old spellings of the same model, and fields whose absence means something. */
TEST(spellings_of_one_model_agree)
{
    static const char *const SAME[] = {
        "{" LLM_FIELDS ",\"model_type\":\"mistral\",\"num_key_value_heads\":2,\"rms_norm_eps\":1e-5,\"sliding_window\":5,"
                       "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":10000.0},\"dtype\":\"float32\",\"head_dim\":16}",
        "{" LLM_FIELDS ",\"num_key_value_heads\":2,\"rms_norm_eps\":1e-5,\"sliding_window\":5,\"rope_theta\":10000,\"rope_scaling\":null,"
                       "\"head_dim\":null,\"hidden_act\":\"silu\",\"attention_bias\":false,\"torch_dtype\":\"bfloat16\","
                       "\"layer_types\":[\"sliding_attention\",\"sliding_attention\"],\"new_key\":{},\"other_key\":false,\"num_beams\":4}",
        "\xEF\xBB\xBF{" LLM_FIELDS ",\"num_key_value_heads\":2,\"rms_norm_eps\":0.00001,\"sliding_window\":5}",
    };
    static const char *const OTHERS[] = {
        "{" LLM_FIELDS ",\"num_key_value_heads\":2,\"rms_norm_eps\":1e-5,\"sliding_window\":null}",
        "{" LLM_FIELDS ",\"num_key_value_heads\":2,\"rms_norm_eps\":1e-5}",
        "{" LLM_FIELDS ",\"num_key_value_heads\":2,\"rms_norm_eps\":1e-5,\"sliding_window\":5,\"rope_parameters\":{\"rope_theta\":100.0}}",
        "{" LLM_FIELDS ",\"num_key_value_heads\":2,\"sliding_window\":5}",
    };
    start();
    double expected = loss(), window[2];
    for (int i = 0; i < 3; i++) {
        tiny_write(path("llm"), "config.json", SAME[i]);
        CHECK(loss() == expected);
    }
    for (int i = 0; i < 4; i++) {
        tiny_write(path("llm"), "config.json", OTHERS[i]);
        double l = loss();
        CHECK(l != expected);
        if (i < 2)
            window[i] = l;
    }
    CHECK(window[0] == window[1]); /* no sequence is longer than the class's 4096 */
}

TEST(weights_inside_other_checkpoints_are_found)
{
    static const char *const PREFIX[] = {"", "language_model.model.", "model.language_model."};
    start();
    double expected = loss();
    for (int i = 0; i < 3; i++) {
        TENSORS = (TinyTensors){.type = F32};
        tiny_llm_tensors(&TENSORS, PREFIX[i], false);
        if (i == 1)
            snprintf(TENSORS.name[TENSORS.n - 1], 128, "language_model.lm_head.weight");
        tiny_save(&TENSORS, path("llm/model.safetensors"), 1000);
        CHECK(loss() == expected);
    }
}

TEST(tied_embeddings_are_one_tensor)
{
    start();
    tiny_write(path("llm"), "config.json", "{" LLM_FIELDS ",\"num_key_value_heads\":2,\"tie_word_embeddings\":true}");
    TENSORS = (TinyTensors){.type = F32};
    tiny_llm_tensors(&TENSORS, "model.", true);
    tiny_save(&TENSORS, path("llm/model.safetensors"), 1000);
    CFG.model.llm.train = TRAIN_FULL;
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &CFG, F32, RECOMPUTE_NONE));
    CHECK(params_find(genllava_params(m.g), "lm_head.weight") == NULL);
    CHECK(params_find(genllava_params(m.g), "token_rows.lm_head") != NULL);
    CHECK(tiny_step(&m, tiny_batch(genllava_model_sizes(m.g)), NULL, true) > 0);
    tiny_close(&m);
}

/* A head that differs is the model's, as transformers 5.24 loads it; an equal one is the embedding again. */
TEST(a_head_of_its_own_beside_tied_embeddings_is_used)
{
    start();
    double untied = loss();
    tiny_write(path("llm"), "config.json", TINY_LLM_CONFIG);
    tiny_write(path("llm"), "config.json", "{" LLM_FIELDS ",\"num_key_value_heads\":2,\"head_dim\":16,\"rms_norm_eps\":1e-5,"
                                           "\"sliding_window\":5,\"tie_word_embeddings\":true}");
    CHECK(loss() == untied);
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &CFG, F32, RECOMPUTE_NONE));
    CHECK(params_find(genllava_params(m.g), "lm_head.weight") != NULL);
    tiny_close(&m);
}

/* BF16 weights are used where they lie, F16 are widened: the values are the same, so is the loss. */
TEST(half_precision_files_are_read_exactly)
{
    start();
    static const DType TYPES[] = {BF16, F16};
    for (int i = 0; i < 2; i++) {
        TENSORS = (TinyTensors){.type = TYPES[i]};
        tiny_llm_tensors(&TENSORS, "model.", false);
        tiny_save(&TENSORS, path("llm/model.safetensors"), 1000);
        TinyModel m;
        REQUIRE_OK(tiny_open(&m, &CFG, F32, RECOMPUTE_NONE));
        Param *q = params_find(genllava_params(m.g), "model.layers.1.mlp.up_proj.weight");
        CHECK(q->t.type == (TYPES[i] == BF16 ? BF16 : F32));
        SafeTensors *st;
        REQUIRE_OK(safetensors_open(&st, path("llm/model.safetensors")));
        const StTensor *theirs = safetensors_find(st, q->name);
        static float a[128 * 64], b[128 * 64];
        REQUIRE_OK(params_get(genllava_params(m.g), q, a));
        dtype_convert(b, F32, theirs->data, theirs->type, 128 * 64);
        CHECK(!memcmp(a, b, sizeof a));
        safetensors_close(&st);
        tiny_close(&m);
    }
}

/* ---------------------------------------------------------------- the tower */

static void save_vision(const char *config, const char *prefix, bool text_tower)
{
    TENSORS = (TinyTensors){.type = F32};
    tiny_vision_tensors(&TENSORS, prefix);
    if (text_tower) {
        tiny_add(&TENSORS, "text_model.embeddings.token_embedding.weight", 2, 10, 48, 0, 0);
        tiny_add(&TENSORS, "logit_scale", 1, 1, 0, 0, 0);
    }
    tiny_write(path("vision"), "config.json", config);
    tiny_save(&TENSORS, path("vision/model.safetensors"), 2000);
}

TEST(towers_are_found_under_every_prefix)
{
    start();
    double expected = loss();
    save_vision("{\"model_type\":\"siglip\",\"text_config\":{\"hidden_size\":48},\"vision_config\":{\"hidden_size\":48,"
                "\"intermediate_size\":56,\"num_hidden_layers\":3,\"num_attention_heads\":2,\"image_size\":32,\"patch_size\":14}}",
                        "vision_model.", true);
    CHECK(loss() == expected);
    save_vision(TINY_VISION_CONFIG, "", false);
    CHECK(loss() == expected);
    save_vision(TINY_VISION_CONFIG, "model.vision_tower.vision_model.", false);
    CHECK(loss() == expected);
}

/* Element -2 of three blocks is element -1 of two: a file cut to what is used is the same tower. */
TEST(the_feature_layer_counts_from_both_ends)
{
    start();
    double expected = loss();
    CFG.model.vision.layer = 2;
    CHECK(loss() == expected);
    CFG.model.vision.layer = -1;
    CHECK(loss() != expected);
    tiny_write(path("vision"), "config.json", "{\"model_type\":\"siglip_vision_model\",\"hidden_size\":48,\"intermediate_size\":56,"
                                              "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"image_size\":32,\"patch_size\":14}");
    CHECK(loss() == expected);
    CFG.model.vision.layer = -4;
    CHECK_FAILS(open_model(), ERR_USAGE, text("model.vision.layer is -4, but the tower of %s/vision has elements -3 … 2", test_dir()));
    CFG.model.vision.layer = 0;
    CHECK(loss() != expected);
}

TEST(pictures_of_another_size_than_the_tower_are_refused)
{
    start();
    tiny_write(path("vision"), "config.json", "{\"model_type\":\"siglip_vision_model\",\"hidden_size\":48,\"intermediate_size\":56,"
                                              "\"num_hidden_layers\":3,\"num_attention_heads\":2,\"image_size\":42,\"patch_size\":14}");
    CHECK_FAILS(open_model(), ERR_DATA, text("%s/vision/preprocessor_config.json says pictures of 32x32 pixels, %s/vision/config.json "
                                             "says image_size 42; they must agree",
                     test_dir(), test_dir()));
    tiny_write(path("vision"), "config.json", "{\"model_type\":\"siglip_vision_model\",\"hidden_act\":\"relu\"}");
    CHECK_FAILS(open_model(), ERR_DATA, text("%s/vision/config.json:1:50: hidden_act is \"relu\", expected \"quick_gelu\", \"gelu\" or "
                                             "\"gelu_pytorch_tanh\"", test_dir()));
}

/* transformers 5 writes no preprocessor_config.json. */
TEST(a_processor_config_alone_is_enough)
{
    static char nested[4096];
    start();
    double expected = loss();
    snprintf(nested, sizeof nested, "{\"processor_class\":\"SiglipProcessor\",\"image_processor\":%s}", TINY_PREPROCESSOR);
    tiny_write(path("vision"), "processor_config.json", nested);
    REQUIRE(!remove(path("vision/preprocessor_config.json")));
    CHECK(loss() == expected);
    tiny_write(path("vision"), "processor_config.json", "{\"processor_class\":\"SiglipProcessor\"}"); /* says nothing of pictures */
    CHECK_FAILS(open_model(), ERR_MISSING, text("model.vision.path: %s/vision/preprocessor_config.json: there is no such file; how "
                                                "pictures are prepared is read from there", test_dir()));
}

TEST(a_tower_with_other_features_is_refused)
{
    static const ConfigCase BAD[] = {
        {"{\"attention_dropout\":0.1}", "%s:1:22: attention_dropout is 0.1, which is not supported"},
        {"{\"num_channels\":4}", "%s:1:17: num_channels is 4, expected 3"},
        {"{\"qkv_bias\":true}", "%s:1:13: qkv_bias is true; this key is not known, so it passes only as null, false, 0, {} or []"},
        {"{\"model_type\":\"llava\",\"vision_config\":{}}",
         "%s: vision_config.model_type is \"missing\", expected \"siglip_vision_model\" or \"clip_vision_model\""},
    };
    start();
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        tiny_write(path("vision"), "config.json", BAD[i].json);
        CHECK_FAILS(open_model(), ERR_DATA, text("%s/vision/config.json%s", test_dir(), BAD[i].message + 2));
    }
}

/* ---------------------------------------------------------------- projector and token rows */

TEST(projectors_of_every_spelling_are_read)
{
    static const char *const SPELLED[][4] = {
        {"multi_modal_projector.linear_1.weight", "multi_modal_projector.linear_1.bias", "multi_modal_projector.linear_2.weight",
         "multi_modal_projector.linear_2.bias"},
        {"model.multi_modal_projector.linear_1.weight", "model.multi_modal_projector.linear_1.bias",
         "model.multi_modal_projector.linear_2.weight",
         "model.multi_modal_projector.linear_2.bias"},
        {"model.mm_projector.0.weight", "model.mm_projector.0.bias", "model.mm_projector.2.weight", "model.mm_projector.2.bias"},
        {"base_model.model.model.mm_projector.0.weight", "base_model.model.model.mm_projector.0.bias",
         "base_model.model.model.mm_projector.2.weight",
         "base_model.model.model.mm_projector.2.bias"},
    };
    static char file[1024];
    start();
    snprintf(file, sizeof file, "%s/p.safetensors", test_dir());
    CFG.model.projector.init = file;
    double first = 0;
    for (int i = 0; i < 4; i++) {
        TENSORS = (TinyTensors){.type = F32};
        for (int k = 0; k < 4; k++)
            tiny_add(&TENSORS, SPELLED[i][k], k % 2 ? 1 : 2, 64, k == 0 ? 48 : k == 2 ? 64 : 0, 0, 0);
        tiny_save(&TENSORS, file, 4000);
        double l = loss();
        first = i ? first : l;
        CHECK(l == first);
        CFG.model.projector.train = TRAIN_FROZEN; /* values outlive the file */
        CHECK(loss() == first);
        CFG.model.projector.train = TRAIN_FULL;
    }
    CFG.model.projector.depth = 1;
    CFG.model.projector.type = (char[]){"linear"};
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the projector: %s: holds base_model.model.model.mm_projector.2.weight, but the "
                                             "projector has 1 layer (model.projector.type)", file));
    CFG.model.projector.depth = 3;
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the projector: %s: no tensor base_model.model.model.mm_projector.4.weight in it; "
                                             "the model has one of shape [64, 64]", file));
}

TEST(token_rows_are_read_in_order_and_by_size)
{
    static char file[1024];
    start();
    snprintf(file, sizeof file, "%s/rows.safetensors", test_dir());
    CFG.model.tokens.init = file;
    TENSORS = (TinyTensors){.type = F32};
    tiny_add(&TENSORS, "token_rows.embed_tokens", 2, 5, 64, 0, 0);
    tiny_add(&TENSORS, "token_rows.lm_head", 2, 5, 64, 0, 0);
    tiny_save(&TENSORS, file, 5000);
    CHECK(loss() > 0);
    CFG.model.tokens.image = 3;
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the token rows: %s: token_rows.embed_tokens: shape is [5, 64] in the file, [6, 64] "
                                             "in the model", file));
    remove(file);
    CHECK_FAILS(open_model(), ERR_MISSING, text("reading the token rows: %s: cannot be opened: No such file or directory", file));
}

/* ---------------------------------------------------------------- checkpoints */

static void checkpoint_parts(void)
{
    static const char *const NAMES[] = {"multi_modal_projector.linear_1.weight", "multi_modal_projector.linear_1.bias",
                                        "multi_modal_projector.linear_2.weight", "multi_modal_projector.linear_2.bias"};
    TENSORS = (TinyTensors){.type = F32};
    for (int k = 0; k < 4; k++)
        tiny_add(&TENSORS, NAMES[k], k % 2 ? 1 : 2, 64, k == 0 ? 48 : k == 2 ? 64 : 0, 0, 0);
    tiny_save(&TENSORS, path("adapter/projector.safetensors"), 4000);
    TENSORS = (TinyTensors){.type = F32};
    tiny_add(&TENSORS, "token_rows.embed_tokens", 2, 5, 64, 0, 0);
    tiny_add(&TENSORS, "token_rows.lm_head", 2, 5, 64, 0, 0);
    tiny_save(&TENSORS, path("adapter/token_rows.safetensors"), 5000);
}

/* Loss of a model whose trained parts come from a checkpoint. */
static double loss_from(const char *checkpoint)
{
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &CFG, F32, RECOMPUTE_NONE));
    genllava_close(&m.g);
    REQUIRE_OK(genllava_open(&m.g, &m.backend, F32, &CFG, checkpoint));
    double l = tiny_step(&m, tiny_batch(genllava_model_sizes(m.g)), NULL, false);
    tiny_close(&m);
    return l;
}

TEST(a_checkpoint_gives_the_trained_parts)
{
    static char projector[1024], rows[1024];
    start_adapter();
    adapter("{" ADAPTER ",\"target_modules\":[\"q_proj\",\"down_proj\"]}", "base_model.model.model.", F32);
    checkpoint_parts();
    snprintf(projector, sizeof projector, "%s/adapter/projector.safetensors", test_dir());
    snprintf(rows, sizeof rows, "%s/adapter/token_rows.safetensors", test_dir());
    CFG.model.projector.init = projector;
    CFG.model.tokens.init = rows;
    double expected = loss();
    CFG.model.lora.init = CFG.model.projector.init = CFG.model.tokens.init = NULL;
    CHECK(loss() != expected);
    CHECK(loss_from(path("adapter")) == expected);
    CFG.model.projector.train = CFG.model.tokens.train = TRAIN_FROZEN; /* drawn and frozen parts lie there too */
    CHECK(loss_from(path("adapter")) == expected);
    CHECK(!remove(path("adapter/projector.safetensors"))); /* then it is drawn anew */
    CHECK(loss_from(path("adapter")) != expected);
}

TEST(a_checkpoint_gives_fully_trained_models)
{
    start();
    CFG.model.llm.train = CFG.model.vision.train = TRAIN_FULL;
    CFG.model.projector.train = CFG.model.tokens.train = TRAIN_FROZEN;
    double expected = loss();
    tiny_write(path("checkpoint"), "note", "");
    CHECK(!rename(path("llm"), path("checkpoint/llm")) && !rename(path("vision"), path("checkpoint/vision")));
    start(); /* the bases again, with other weights than the checkpoint's */
    TENSORS = (TinyTensors){.type = F32};
    tiny_llm_tensors(&TENSORS, "model.", false);
    tiny_save(&TENSORS, path("llm/model.safetensors"), 1);
    CFG.model.llm.train = CFG.model.vision.train = TRAIN_FULL;
    CFG.model.projector.train = CFG.model.tokens.train = TRAIN_FROZEN;
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &CFG, F32, RECOMPUTE_NONE));
    genllava_close(&m.g);
    REQUIRE_OK(genllava_open(&m.g, &m.backend, F32, &CFG, path("checkpoint")));
    Params *p = genllava_params(m.g);
    static float a[128 * 64], b[128 * 64];
    REQUIRE_OK(params_get(p, params_find(p, "model.layers.1.mlp.up_proj.weight"), a));
    SafeTensors *st;
    REQUIRE_OK(safetensors_open(&st, path("checkpoint/llm/model.safetensors")));
    memcpy(b, safetensors_find(st, "model.layers.1.mlp.up_proj.weight")->data, sizeof b);
    CHECK(!memcmp(a, b, sizeof a));
    safetensors_close(&st);
    tiny_close(&m);
    CHECK(loss() != expected);
}

/* ---------------------------------------------------------------- weights at random */

TEST(random_models_need_only_their_configs)
{
    start();
    remove(path("llm/model.safetensors"));
    remove(path("vision/preprocessor_config.json"));
    CHECK_FAILS(open_model(), ERR_MISSING, text("model.vision.path: %s/vision/preprocessor_config.json: there is no such file; how "
                                                "pictures are prepared is read from there", test_dir()));
    remove(path("vision/model.safetensors"));
    CFG.model.llm.init = CFG.model.vision.init = INIT_AT_RANDOM;
    CFG.model.llm.train = TRAIN_FULL;
    double first = loss();
    CHECK(first == loss());
    CFG.seed = 43;
    CHECK(first != loss());
    CFG.model.llm.init = INIT_FROM_WEIGHTS;
    CHECK_FAILS(open_model(), ERR_MISSING,
                text("reading the language model: %s/llm: neither model.safetensors nor model.safetensors.index.json in it", test_dir()));
}
