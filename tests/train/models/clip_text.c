/* clip_text: states equal to transformers' from every spelling of the file; settings and tokenizers that do not fit refused; the sizes of
 * the published encoder. */
#include "train/models/clip_text.h"

#include <stdio.h>

#include "data/formats/file.h"
#include "tests/train/models/hashed.h"
#include "tests/train/models/tiny.h"

static const char *fixture(const char *name, const char *file)
{
    char path[128];
    snprintf(path, sizeof path, "clip_text/%s/%s", name, file);
    return test_fixture(path);
}

/* A tokenizer for prompts of `length` tokens with ids below n_ids. */
static void write_tokenizer(int n_ids, int length)
{
    char text[256];
    snprintf(text, sizeof text, "{\"a</w>\": 0, \"<|startoftext|>\": 1, \"<|endoftext|>\": %d}", n_ids - 1);
    tiny_write(hashed_path("tokenizer"), "vocab.json", text);
    tiny_write(hashed_path("tokenizer"), "merges.txt", "#version: 0.2\n");
    snprintf(text, sizeof text, "{\"model_max_length\": %d}", length);
    tiny_write(hashed_path("tokenizer"), "tokenizer_config.json", text);
}

/* ---------------------------------------------------------------- states */

static const char *wrapped(const char *ours, char theirs[256], bool *conv)
{
    (void)conv;
    snprintf(theirs, 256, "text_model.%s", ours);
    return theirs;
}

typedef struct States {
    const char *fixture;
    Status (*open)(Backend *);
    DType compute;
    HashedName rename;
    double most;
} States;

static void check_states(const States *c)
{
    HashedModel m;
    SafeTensors *expected;
    char *config;
    size_t n;
    hashed_open(&m, c->open, c->compute);
    REQUIRE_OK(file_read(&config, &n, fixture(c->fixture, "config.json"), 1 << 16));
    hashed_declare(&m, "text_encoder", config);
    const ClipTextConfig *sizes = &m.g.text_encoder.config;
    hashed_save(hashed_path("text_encoder/model.safetensors"), &m.g.params, "text_encoder", "text_model.", c->rename);
    write_tokenizer((int)sizes->vocab, (int)sizes->length);
    REQUIRE_OK(clip_text_load(&m.g, hashed_run(), hashed_path("text_encoder")));
    CHECK(m.g.text_encoder.tokenizer);
    REQUIRE_OK(safetensors_open(&expected, fixture(c->fixture, "expected.safetensors")));
    int64_t items = safetensors_find(expected, "ids")->shape[0];
    Tensor *states = clip_text_forward(m.tape, &m.g.text_encoder, hashed_expected(expected, "ids", items * sizes->length), items);
    REQUIRE_OK(tape_status(m.tape));
    CHECK(!states->needs_grad);
    hashed_check(expected, "states", states, c->most);
    safetensors_close(&expected);
    mem_free(config);
    hashed_close(&m);
}

TEST(clip_text_equals_transformers)
{
    static const States CASES[] = {
        {"quick", ref_open, F64, NULL, 1e-6}, {"quick", ref_open, F64, wrapped, 1e-6}, {"quick", cpu_open, F32, wrapped, 1e-5},
        {"exact", ref_open, F64, NULL, 1e-6}, {"exact", cpu_open, F32, NULL, 1e-5},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        check_states(&CASES[i]);
}

/* Two shards, of which one holds the positions of old files. */
TEST(clip_text_reads_shards_and_leaves_positions_out)
{
    HashedModel m;
    char *index = mem_alloc(1 << 16);
    size_t at = 0;
    hashed_open(&m, ref_open, F32);
    hashed_declare(&m, "text_encoder",
                   "{\"model_type\": \"clip_text_model\", \"vocab_size\": 9, \"hidden_size\": 8, \"intermediate_size\": 4,"
                   "\"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"max_position_embeddings\": 3}");
    REQUIRE(index);
    static const char POSITIONS[] = "text_model.embeddings.position_ids";
    int64_t ids[] = {0, 1, 2};
    StWriter *w;
    const StSpec positions = {.name = POSITIONS, .type = I64, .n_dims = 2, .shape = {1, 3}};
    REQUIRE_OK(stwriter_open(&w, hashed_path("text_encoder/two.safetensors"), &positions, 1));
    REQUIRE_OK(stwriter_write(w, ids, sizeof ids));
    REQUIRE_OK(stwriter_close(&w));
    hashed_save(hashed_path("text_encoder/one.safetensors"), &m.g.params, "text_encoder", "text_model.", wrapped);
    at += (size_t)sprintf(index, "{\"weight_map\": {\"%s\": \"two.safetensors\"", POSITIONS);
    for (int i = 0; i < m.g.params.n; i++)
        at += (size_t)sprintf(index + at, ", \"%s\": \"one.safetensors\"", m.g.params.list[i]->name);
    sprintf(index + at, "}}");
    tiny_write(hashed_path("text_encoder"), "model.safetensors.index.json", index);
    write_tokenizer(9, 3);
    CHECK_OK(clip_text_load(&m.g, hashed_run(), hashed_path("text_encoder")));
    mem_free(index);
    hashed_close(&m);
}

/* ---------------------------------------------------------------- what does not fit */

TEST(clip_text_refuses_settings)
{
    static const struct {
        const char *config, *says;
    } CASES[] = {
        {"{\"model_type\": \"clip\"}", ":1:16: model_type is \"clip\", expected \"clip_text_model\""},
        {"{\"attention_dropout\": 0.1}", ":1:23: attention_dropout is 0.1, which is not supported"},
        {"{\"hidden_act\": \"relu\"}", ":1:16: hidden_act is \"relu\", expected \"quick_gelu\", \"gelu\" or \"gelu_pytorch_tanh\""},
        {"{\"hidden_size\": 30, \"num_attention_heads\": 4}",
         ":1:44: num_attention_heads is 4, expected a divisor of hidden_size 30 with heads of at most 512"},
        {"{\"use_flash\": true}", ":1:15: use_flash is true; this key is not known, so it passes only as null, false, 0, {} or []"},
        {"{\"max_position_embeddings\": 1}", ":1:29: max_position_embeddings is 1, expected 2 … 65536"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        HashedModel m;
        char wanted[2 * PATH_MAX];
        hashed_open(&m, ref_open, F32);
        snprintf(wanted, sizeof wanted, "%s%s", hashed_path("text_encoder/config.json"), CASES[i].says);
        CHECK_FAILS(hashed_configure(&m, "text_encoder", CASES[i].config), ERR_DATA, wanted);
        hashed_close(&m);
    }
}

TEST(clip_text_refuses_tokenizers_of_others)
{
    HashedModel m;
    char wanted[4 * PATH_MAX], tokenizer[PATH_MAX], encoder[PATH_MAX];
    hashed_open(&m, ref_open, F32);
    hashed_declare(&m, "text_encoder",
                   "{\"vocab_size\": 9, \"hidden_size\": 8, \"intermediate_size\": 4, \"num_hidden_layers\": 1, \"num_attention_heads\": 2,"
                   "\"max_position_embeddings\": 3}");
    hashed_save(hashed_path("text_encoder/model.safetensors"), &m.g.params, "text_encoder", "text_model.", NULL);
    snprintf(tokenizer, sizeof tokenizer, "%s", hashed_path("tokenizer"));
    snprintf(encoder, sizeof encoder, "%s", hashed_path("text_encoder"));
    snprintf(wanted, sizeof wanted, "%s/vocab.json: cannot be opened: No such file or directory", tokenizer);
    CHECK_FAILS(clip_text_load(&m.g, hashed_run(), encoder), ERR_MISSING, wanted);
    weights_close(&m.g.files[part_find("text_encoder") - PARTS]);
    write_tokenizer(10, 3);
    snprintf(wanted, sizeof wanted, "%s: has ids up to 9, but the text encoder of %s has a vocabulary of 9 (vocab_size)", tokenizer,
             encoder);
    CHECK_FAILS(clip_text_load(&m.g, hashed_run(), encoder), ERR_DATA, wanted);
    weights_close(&m.g.files[part_find("text_encoder") - PARTS]);
    clip_tokenizer_close(&m.g.text_encoder.tokenizer);
    write_tokenizer(9, 4);
    snprintf(wanted, sizeof wanted,
             "%s: makes prompts of 4 tokens (model_max_length), the text encoder of %s takes 3 (max_position_embeddings)", tokenizer,
             encoder);
    CHECK_FAILS(clip_text_load(&m.g, hashed_run(), encoder), ERR_DATA, wanted);
    hashed_close(&m);
}

/* ---------------------------------------------------------------- the published encoder */

/* text_encoder/config.json of Stable Diffusion 1.4. */
static const char PUBLISHED[] =
    "{\"_name_or_path\": \"openai/clip-vit-large-patch14\", \"architectures\": [\"CLIPTextModel\"], \"attention_dropout\": 0.0,"
    "\"bos_token_id\": 0, \"dropout\": 0.0, \"eos_token_id\": 2, \"hidden_act\": \"quick_gelu\", \"hidden_size\": 768,"
    "\"initializer_factor\": 1.0, \"initializer_range\": 0.02, \"intermediate_size\": 3072, \"layer_norm_eps\": 1e-05,"
    "\"max_position_embeddings\": 77, \"model_type\": \"clip_text_model\", \"num_attention_heads\": 12, \"num_hidden_layers\": 12,"
    "\"pad_token_id\": 1, \"torch_dtype\": \"float32\", \"transformers_version\": \"4.21.0.dev0\", \"vocab_size\": 49408}";

TEST(clip_text_has_the_published_size)
{
    HashedModel m;
    hashed_open(&m, null_open, BF16);
    hashed_declare(&m, "text_encoder", PUBLISHED);
    CHECK_INT(m.g.params.n, 196);
    CHECK_INT(genllava_count(&m.g, "text_encoder"), 123060480);
    Tensor *states = clip_text_forward(m.tape, &m.g.text_encoder, NULL, 4);
    REQUIRE_OK(tape_status(m.tape));
    CHECK(states->shape[0] == 4 * 77 && states->shape[1] == 768);
    hashed_close(&m);
}
