/* What convert's verification has to notice: exports that were damaged before they are read back. */
#include "tools/convert/verify.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/gguf.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"
#include "tools/convert/from_gguf.h"

/* ---------------------------------------------------------------- a model, and what is written of it */

/* Adapters, added rows and a vision tower, as files of a parity case; without: no tokens are added. */
static void open_source(Model *m, bool tokens)
{
    char folder[PATH_MAX], path[PATH_MAX], root[PATH_MAX], text[4096];
    REQUIRE(realpath("tests/fixtures/parity", root));
    snprintf(folder, sizeof folder, "%s/%s", test_dir(), tokens ? "source" : "no-tokens");
    REQUIRE_OK(file_make_folders(folder));
    const char *given = tokens ? "\"image\": 4, \"init\": \"" : "\"image\": 0, \"train\": \"frozen\", \"task\": null";
    int n = snprintf(text, sizeof text,
                     "{\"data\": {\"mixture\": \"none.json\", \"shards\": \"none\"}, \"device\": \"cpu\", \"model\": {"
                     "\"llm\": {\"path\": \"%s/bases/llm-gqa\"}, \"vision\": {\"path\": \"%s/bases/vision-only\"}, "
                     "\"projector\": {\"init\": \"%s/visual_tokens/start/projector.safetensors\"}, "
                     "\"lora\": {\"r\": 2, \"alpha\": 2, \"targets\": [\"q_proj\", \"o_proj\", \"up_proj\"], "
                     "\"init\": \"%s/visual_tokens/start/lora\"}, \"tokens\": {%s%s%s}}}",
                     root, root, root, root, given, tokens ? root : "", tokens ? "/visual_tokens/start/token_rows.safetensors\"" : "");
    REQUIRE(n < (int)sizeof text);
    REQUIRE_OK(file_write(file_join(path, folder, "run.json"), text, (size_t)n));
    REQUIRE_OK(model_open(m, folder, NULL));
}

static const Writer HF = {.name = "hf", .takes_type = true, .write = to_hf},
                    HF_LLAVA = {.name = "hf-llava", .takes_type = true, .write = to_hf_llava},
                    GGUF = {.name = "gguf", .takes_type = true, .write = to_gguf, .reopen = from_gguf};
static const WriteOptions OPTIONS = {.type = TYPE_F32, .type_given = true, .max_shard = INT64_MAX};

static const char *written(Model *m, const Writer *w)
{
    static char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s/%s", test_dir(), w->name);
    REQUIRE_OK(file_make_folders(folder));
    REQUIRE_OK(w->write(m, &OPTIONS, folder));
    return folder;
}

static Status asked(Model *m, const Writer *w, const char *folder)
{
    const Probe none = {0};
    Model out;
    REQUIRE_OK(w->reopen ? w->reopen(&out, m, folder) : model_open(&out, folder, NULL));
    Status s = verify_output(m, &out, w, &OPTIONS, &none);
    model_close(&out);
    return s;
}

/* ---------------------------------------------------------------- damage */

/* Other bytes in the place of those, which the file has once. */
static void overwrite(const char *folder, const char *name, const void *was, const void *now, size_t n)
{
    char path[PATH_MAX], *bytes;
    size_t size;
    REQUIRE_OK(file_read(&bytes, &size, file_join(path, folder, name), SIZE_MAX / 2));
    const char *at = memmem(bytes, size, was, n);
    REQUIRE(at);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK_OK(file_write_at(fd, path, now, n, at - bytes));
    CHECK(!close(fd));
    mem_free(bytes);
}

static float *rows_of(const Stored *t)
{
    REQUIRE(t);
    float *x = mem_alloc((size_t)stored_elems(t) * sizeof *x);
    REQUIRE(x);
    REQUIRE_OK(stored_rows(t, 0, t->shape[0], x));
    return x;
}

/* Values of a tensor of the merged model; of what is written in f32 they are the bytes too. */
static float *merged(const Model *m, const char *name) { return rows_of(stored_find(&m->whole, name)); }
static size_t bytes_of(const Model *m, const char *name) { return (size_t)stored_elems(stored_find(&m->whole, name)) * sizeof(float); }

#define CHECK_NOTICED(m, w, folder)                                                                                                       \
    do {                                                                                                                                  \
        CHECK_INT(asked(m, w, folder), ERR_INTERNAL);                                                                                     \
        CHECK_MSG(strstr(status_message(), "what was written answers differently"), "says %s", status_message());                         \
    } while (0)

TEST(verify_passes_what_is_whole)
{
    Model m;
    open_source(&m, true);
    CHECK_OK(asked(&m, &HF, written(&m, &HF)));
    CHECK_OK(asked(&m, &HF_LLAVA, written(&m, &HF_LLAVA)));
    CHECK_OK(asked(&m, &GGUF, written(&m, &GGUF)));
    model_close(&m);
}

/* Half as much again of what the adapter adds, as with another alpha. */
TEST(verify_notices_a_wrong_scale)
{
    static const char NAME[] = "model.layers.0.self_attn.q_proj.weight";
    Model m;
    open_source(&m, true);
    const char *folder = written(&m, &HF);
    float *base = rows_of(stored_find(&m.tensors, NAME)), *whole = merged(&m, NAME), *wrong = merged(&m, NAME);
    for (size_t i = 0; i < bytes_of(&m, NAME) / sizeof *wrong; i++)
        wrong[i] += 0.5f * (whole[i] - base[i]);
    overwrite(folder, "model.safetensors", whole, wrong, bytes_of(&m, NAME));
    CHECK_NOTICED(&m, &HF, folder);
    mem_free(base);
    mem_free(whole);
    mem_free(wrong);
    model_close(&m);
}

/* q or k of a gguf, in the order that transformers has. */
static void unpermuted(const char *ours, const char *theirs)
{
    char path[PATH_MAX];
    Model m;
    Gguf *g;
    open_source(&m, true);
    const char *folder = written(&m, &GGUF);
    REQUIRE_OK(gguf_open(&g, file_join(path, folder, "model.gguf")));
    const GgufTensor *t = gguf_find(g, theirs);
    REQUIRE(t && t->type == GGUF_F32 && t->n_bytes == bytes_of(&m, ours));
    float *plain = merged(&m, ours);
    CHECK(memcmp(t->data, plain, t->n_bytes));
    overwrite(folder, "model.gguf", t->data, plain, t->n_bytes);
    gguf_close(&g);
    CHECK_NOTICED(&m, &GGUF, folder);
    mem_free(plain);
    model_close(&m);
}
TEST(verify_notices_an_unpermuted_query) { unpermuted("model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight"); }
TEST(verify_notices_an_unpermuted_key) { unpermuted("model.layers.1.self_attn.k_proj.weight", "blk.1.attn_k.weight"); }

TEST(verify_notices_missing_rows)
{
    Model m, without;
    open_source(&m, true);
    open_source(&without, false);
    REQUIRE(m.n_added == 7 && without.n_added == 0);
    const char *folder = written(&without, &HF);
    char wanted[256];
    snprintf(wanted, sizeof wanted, "--to hf: what was written has %d rows of tokens, the model %d", (int)m.vocab, (int)m.vocab + 7);
    CHECK_FAILS(asked(&m, &HF, folder), ERR_INTERNAL, wanted);
    model_close(&without);
    model_close(&m);
}

/* The last token's row is that of the one before it. */
TEST(verify_notices_a_wrong_row)
{
    static const char NAME[] = "model.embed_tokens.weight";
    Model m;
    open_source(&m, true);
    const char *folder = written(&m, &HF);
    const int64_t row = stored_row(stored_find(&m.whole, NAME)), n = model_rows(&m);
    float *x = merged(&m, NAME);
    overwrite(folder, "model.safetensors", x + (n - 1) * row, x + (n - 2) * row, (size_t)row * sizeof *x);
    CHECK_NOTICED(&m, &HF, folder);
    mem_free(x);
    model_close(&m);
}

TEST(verify_notices_a_head_that_is_tied_by_mistake)
{
    Model m;
    open_source(&m, true);
    const char *folder = written(&m, &HF);
    float *head = merged(&m, "lm_head.weight"), *embeddings = merged(&m, "model.embed_tokens.weight");
    overwrite(folder, "model.safetensors", head, embeddings, bytes_of(&m, "lm_head.weight"));
    CHECK_NOTICED(&m, &HF, folder);
    mem_free(head);
    mem_free(embeddings);
    model_close(&m);
}

/* What only pictures show. */
TEST(verify_notices_a_wrong_projector)
{
    static const char NAME[] = "multi_modal_projector.linear_2.bias";
    Model m;
    open_source(&m, true);
    const char *folder = written(&m, &HF_LLAVA);
    const Stored *bias = stored_find(&m.tensors, NAME);
    float *was = rows_of(bias), *now = rows_of(bias);
    for (int64_t i = 0; i < stored_elems(bias); i++)
        now[i] += 0.1f;
    overwrite(folder, "model.safetensors", was, now, (size_t)stored_elems(bias) * sizeof *was);
    CHECK_NOTICED(&m, &HF_LLAVA, folder);
    mem_free(was);
    mem_free(now);
    model_close(&m);
}
