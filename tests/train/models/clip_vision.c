/* CLIP's vision tower: every spelling of its files, what absent keys mean, what would compute something else refused, the published size.
 * Numbers are held against transformers by the parity cases. */
#include <math.h>

#include "kernels/base/utf8.h"
#include "tests/train/models/loading.h"

#define FIELDS \
    "\"hidden_size\":48,\"intermediate_size\":56,\"num_hidden_layers\":3,\"num_attention_heads\":2,\"image_size\":32,\"patch_size\":14"
static const char CONFIG[] = "{\"model_type\":\"clip_vision_model\"," FIELDS "}";
static const char WHOLE[] =
    "{\"model_type\":\"clip\",\"projection_dim\":512,\"text_config\":{\"hidden_size\":9},\"vision_config\":{" FIELDS "}}";

static void add(const char *prefix, const char *name, int n_dims, int64_t a, int64_t b)
{
    tiny_add(&TENSORS, text("%s%s", prefix, name), n_dims, a, b, 0, 0);
}

/* The tower of CONFIG: SigLIP's tensors of that size, with one position more, no bias of patches, a class token and a norm in front. */
static void save_tower(const char *config, const char *prefix, bool whole)
{
    TENSORS = (TinyTensors){.type = F32};
    tiny_vision_tensors(&TENSORS, prefix);
    tiny_remove(&TENSORS, text("%sembeddings.patch_embedding.bias", prefix));
    tiny_find(&TENSORS, text("%sembeddings.position_embedding.weight", prefix))->shape[0] = 5;
    add(prefix, "embeddings.class_embedding", 1, 48, 0);
    add(prefix, "pre_layrnorm.weight", 1, 48, 0);
    add(prefix, "pre_layrnorm.bias", 1, 48, 0);
    if (whole) {
        add("text_model.", "final_layer_norm.weight", 1, 9, 0);
        add("", "text_projection.weight", 2, 9, 9);
        add("", "visual_projection.weight", 2, 9, 48);
        add("", "logit_scale", 1, 1, 0);
    }
    tiny_write(path("vision"), "config.json", config);
    tiny_save(&TENSORS, path("vision/model.safetensors"), 2000);
}

static void start_clip(void)
{
    start();
    save_tower(CONFIG, "vision_model.", false);
}

TEST(towers_of_clip_of_every_spelling_are_read)
{
    static const struct {
        const char *config, *prefix;
        bool whole;
    } CASES[] = {
        {CONFIG, "", false},
        {WHOLE, "vision_model.", true},
        {CONFIG, "vision_model.", true}, /* with its projection */
        {"{\"model_type\":\"llava\",\"vision_config\":{\"model_type\":\"clip_vision_model\",\"vocab_size\":32000," FIELDS "}}",
         "vision_tower.vision_model.", false},
        {CONFIG, "model.vision_tower.vision_model.", false},
        {CONFIG, "vision_tower.", false},
        {CONFIG, "model.vision_tower.", false},
        {CONFIG, "model.vision_tower.vision_tower.vision_model.", false},
        {"{\"model_type\":\"clip\",\"vision_config\":{\"hidden_size\":7},\"vision_config_dict\":{" FIELDS "}}", "vision_model.", true},
    };
    start_clip();
    double expected = loss();
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        save_tower(CASES[i].config, CASES[i].prefix, CASES[i].whole);
        CHECK_MSG(loss() == expected, "case %zu reads another tower", i);
    }
}

static double loss_with(const char *more)
{
    tiny_write(path("vision"), "config.json", text("{\"model_type\":\"clip_vision_model\"," FIELDS "%s}", more));
    return loss();
}

TEST(absent_keys_of_clip_are_those_of_its_class)
{
    start_clip();
    double expected = loss();
    CHECK(loss_with(",\"hidden_act\":\"quick_gelu\",\"layer_norm_eps\":1e-5,\"num_channels\":3,\"projection_dim\":99,\"dropout\":0.0,"
                    "\"attention_dropout\":0.0,\"initializer_factor\":1.0,\"initializer_range\":0.02") == expected);
    CHECK(loss_with(",\"hidden_act\":\"gelu\"") != expected);
    CHECK(loss_with(",\"layer_norm_eps\":1e-2") != expected);
    CFG.model.vision.layer = 0; /* the norm in front counts with the embeddings */
    CHECK(fabs(loss_with("") - expected) > 1e-6);
}

/* The class token takes part in attention, and its feature goes nowhere. */
TEST(the_class_token_is_seen_by_the_patches_alone)
{
    start_clip();
    CFG.model.vision.train = TRAIN_FULL;
    TinyModel m;
    REQUIRE_OK(tiny_open(&m, &CFG, F32, RECOMPUTE_SELECTIVE));
    CHECK_INT(genllava_model_sizes(m.g)->patches, 4);
    int64_t block = 4 * (48 * 48 + 48) + 2 * 48 * 56 + 56 + 48 + 4 * 48;
    CHECK_INT(genllava_count(m.g, "vision"), 48 * 588 + 48 + 5 * 48 + 2 * 48 + 2 * block);
    tiny_step(&m, tiny_batch(genllava_model_sizes(m.g)), NULL, true);
    static const char *const REACHED[] = {"embeddings.class_embedding", "embeddings.position_embedding.weight", "pre_layrnorm.weight",
                                          "pre_layrnorm.bias", "embeddings.patch_embedding.weight", "encoder.layers.1.mlp.fc2.bias"};
    for (size_t i = 0; i < sizeof REACHED / sizeof *REACHED; i++) {
        const Param *p = params_find(genllava_params(m.g), text("vision_model.%s", REACHED[i]));
        REQUIRE(p);
        double sum = 0;
        for (int64_t k = 0; k < p->t.n_elems; k++)
            sum += fabs((double)((float *)p->t.grad)[k]);
        CHECK_MSG(sum > 0, "%s has no gradient", REACHED[i]);
    }
    CHECK(!params_find(genllava_params(m.g), "vision_model.embeddings.patch_embedding.bias"));
    tiny_close(&m);
}

/* A pass that is given only counts, on the null backend, needs exactly what the real one needs, frozen and trained. */
TEST(a_tower_of_clip_is_measured_to_the_byte)
{
    start_clip();
    for (int i = 0; i < 2 * (RECOMPUTE_BLOCK + 1); i++) {
        CFG.model.vision.train = i % 2 ? TRAIN_FULL : TRAIN_FROZEN;
        TinyModel m;
        REQUIRE_OK(tiny_open(&m, &CFG, F32, (Recompute)(i / 2)));
        const Batch *b = tiny_batch(genllava_model_sizes(m.g));
        tiny_step(&m, b, NULL, true);
        Batch counts = {.n_segments = b->n_segments, .n_tokens = b->n_tokens, .n_images = b->n_images, .n_labels = b->n_labels,
                        .max_segment = b->max_segment, .image_height = 32, .image_width = 32, .terms = b->terms};
        Backend null;
        Arena keep, scratch;
        Tape *t;
        LossResult r;
        arena_measure(&keep);
        arena_measure(&scratch);
        REQUIRE_OK(null_open(&null));
        REQUIRE_OK(tape_create(&t, &(TapeOptions){.backend = &null, .keep = &keep, .scratch = &scratch, .compute = F32,
                                                  .recompute = (Recompute)(i / 2)}));
        REQUIRE_OK(genllava_loss(t, m.g, &counts, &(LossRequest){.scale = {1}}, &r));
        REQUIRE_OK(tape_backward_all(t, r.losses, N_LOSSES, 1));
        CHECK_MSG(keep.peak == m.keep.peak && scratch.peak == m.scratch.peak, "case %d: measured %zu + %zu, used %zu + %zu", i, keep.peak,
                  scratch.peak, m.keep.peak, m.scratch.peak);
        tape_free(&t);
        null.close(&null);
        tiny_close(&m);
    }
}

/* Ways of keeping memory differ in nothing else. */
TEST(recompute_of_clip_is_bitwise_equal)
{
    start_clip();
    CFG.model.vision.train = TRAIN_FULL;
    float *first = NULL;
    for (int mode = RECOMPUTE_NONE; mode <= RECOMPUTE_BLOCK; mode++) {
        TinyModel m;
        REQUIRE_OK(tiny_open(&m, &CFG, F32, (Recompute)mode));
        tiny_step(&m, tiny_batch(genllava_model_sizes(m.g)), NULL, true);
        const Params *p = genllava_params(m.g);
        size_t n_bytes = (size_t)p->n_flat * sizeof *first;
        if (!first) {
            first = mem_alloc(n_bytes);
            REQUIRE(first);
            memcpy(first, p->flat_grad, n_bytes);
        }
        CHECK_MSG(!memcmp(first, p->flat_grad, n_bytes), "recompute mode %d gives other gradients", mode);
        tiny_close(&m);
    }
    mem_free(first);
}

static const ConfigCase BAD[] = {
    {"\"attention_dropout\":0.1", "attention_dropout is 0.1, which is not supported"},
    {"\"dropout\":0.1", "dropout is 0.1, which is not supported"},
    {"\"hidden_act\":\"relu\"", "hidden_act is \"relu\", expected \"quick_gelu\", \"gelu\" or \"gelu_pytorch_tanh\""},
    {"\"num_channels\":1", "num_channels is 1, expected 3"},
    {"\"num_attention_heads\":5", "num_attention_heads is 5, expected a divisor of hidden_size 48 with heads of at most 512"},
    {"\"qkv_bias\":true", "qkv_bias is true; this key is not known, so it passes only as null, false, 0, {} or []"},
    {"\"quantization_config\":{\"bits\":4}", "quantization_config is an object, which is not supported"},
    {"\"patch_size\":33", "patch_size is 33x33, expected a square inside the picture of 32x32"},
};

TEST(a_tower_of_clip_that_computes_something_else_is_refused)
{
    start_clip();
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        tiny_write(path("vision"), "config.json",
                   text("{\"model_type\":\"clip_vision_model\",\"hidden_size\":48,\"image_size\":32,%s}", BAD[i].json));
        Status s = open_model();
        const char *says = status_message();
        CHECK_INT(s, ERR_DATA);
        CHECK_MSG(utf8_ends(says, BAD[i].message), "%s: it says %s", BAD[i].json, says);
    }
    tiny_write(path("vision"), "config.json", "{\"model_type\":\"clip_text_model\"}");
    CHECK_FAILS(open_model(), ERR_DATA, text("%s/vision/config.json:1:15: model_type is \"clip_text_model\", expected "
                                             "\"siglip_vision_model\" or \"clip_vision_model\", or a vision_config of these", test_dir()));
    save_tower(CONFIG, "vision_model.", false);
    add("vision_model.", "embeddings.patch_embedding.bias", 1, 48, 0); /* of a SigLIP */
    tiny_save(&TENSORS, path("vision/model.safetensors"), 2000);
    CHECK_FAILS(open_model(), ERR_DATA, text("reading the vision tower: %s/vision/model.safetensors: 1 tensor is no part of this model, "
                                             "and nothing would read it: vision_model.embeddings.patch_embedding.bias", test_dir()));
}

/* clip-vit-large-patch14-336: 24 blocks, of which 23 are executed for the feature layer -2. */
TEST(clip_has_the_published_size)
{
    start();
    tiny_write(path("vision"), "config.json", "{\"model_type\":\"clip_vision_model\",\"hidden_size\":1024,\"intermediate_size\":4096,"
                                              "\"num_hidden_layers\":24,\"num_attention_heads\":16,\"image_size\":336,\"patch_size\":14}");
    remove(path("vision/preprocessor_config.json"));
    CFG.model.vision.init = INIT_AT_RANDOM;
    for (int layer = -2; layer <= -1; layer++) {
        CFG.model.vision.layer = layer;
        Backend null;
        GenLlava *g;
        REQUIRE_OK(null_open(&null));
        REQUIRE_OK(genllava_open(&g, &null, BF16, &CFG, NULL));
        /* CLIPVisionModel has 303,507,456: these and the last norm. */
        CHECK_INT(genllava_count(g, "vision"), 303507456 - 2 * 1024 - (layer == -2 ? 12596224 : 0));
        CHECK_INT(genllava_model_sizes(g)->patches, 576);
        genllava_close(&g);
        null.close(&null);
    }
}
