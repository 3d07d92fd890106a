/* from_gguf.c: GGUF files as llama.cpp would take them, independent of the writer (from_gguf.h). */
#include "tools/convert/from_gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/gguf.h"
#include "data/formats/q8_0.h"
#include "kernels/base/arena.h"
#include "tools/convert/gguf_names.h"
#include "tools/convert/merge.h"

/* ---------------------------------------------------------------- settings */

static Status check_int(const Gguf *g, const char *key, int64_t wanted)
{
    int64_t found;
    TRY(gguf_get_int(g, key, &found));
    return found == wanted ? OK : fail(ERR_INTERNAL, "%s is %" PRId64 ", the model's is %" PRId64, key, found, wanted);
}

static Status check_real(const Gguf *g, const char *key, double wanted)
{
    double found;
    TRY(gguf_get_real(g, key, &found));
    return fabs(found - wanted) <= 1e-6 * fabs(wanted) ? OK : fail(ERR_INTERNAL, "%s is %g, the model's is %g", key, found, wanted);
}

static Status check_text(const Gguf *g, const char *key, const char *wanted)
{
    char *found;
    TRY(gguf_get_text(g, key, &found));
    Status s = strcmp(found, wanted) ? fail(ERR_INTERNAL, "%s is \"%s\", expected \"%s\"", key, found, wanted) : OK;
    mem_free(found);
    return s;
}

static Status check_llm(const Gguf *g, const Model *m)
{
    const MistralConfig *c = m->llm;
    GgufText *tokens;
    size_t n;
    TRY(check_text(g, "general.architecture", "llama"));
    TRY(check_int(g, "llama.embedding_length", c->hidden));
    TRY(check_int(g, "llama.block_count", c->layers));
    TRY(check_int(g, "llama.feed_forward_length", c->ff));
    TRY(check_int(g, "llama.attention.head_count", c->heads));
    TRY(check_int(g, "llama.attention.head_count_kv", c->kv_heads));
    TRY(check_int(g, "llama.attention.key_length", c->head_dim));
    TRY(check_int(g, "llama.attention.value_length", c->head_dim));
    TRY(check_int(g, "llama.rope.dimension_count", c->head_dim));
    TRY(check_real(g, "llama.attention.layer_norm_rms_epsilon", c->eps));
    TRY(check_real(g, "llama.rope.freq_base", c->rope_base));
    if (c->rope_factor != 1)
        TRY(check_real(g, "llama.rope.scaling.factor", c->rope_factor));
    TRY(check_int(g, "llama.vocab_size", model_rows(m)));
    TRY(gguf_get_texts(g, "tokenizer.ggml.tokens", &tokens, &n));
    mem_free(tokens);
    return n == (size_t)model_rows(m) ? OK
                                      : fail(ERR_INTERNAL, "tokenizer.ggml.tokens has %zu texts, the model %" PRId64, n, model_rows(m));
}

static Status check_tower(const Gguf *g, const Model *m)
{
    const SiglipConfig *c = m->vision;
    TRY(check_text(g, "general.architecture", "clip"));
    TRY(check_int(g, "clip.vision.image_size", c->height));
    TRY(check_int(g, "clip.vision.patch_size", c->patch));
    TRY(check_int(g, "clip.vision.embedding_length", c->hidden));
    TRY(check_int(g, "clip.vision.feed_forward_length", c->ff));
    TRY(check_int(g, "clip.vision.block_count", c->blocks));
    TRY(check_int(g, "clip.vision.projection_dim", m->llm->hidden));
    TRY(check_int(g, "clip.vision.attention.head_count", c->heads));
    return check_real(g, "clip.vision.attention.layer_norm_epsilon", c->eps);
}

/* ---------------------------------------------------------------- tensors */

/* Heads whose rows stand in the order of llama.cpp's rotation (first and second half in turn) are put back; 0: no heads. */
typedef struct Piece {
    const GgufTensor *t;
    int64_t head_dim;
} Piece;

static void read_rows(const GgufTensor *t, int64_t first, int64_t n, int64_t row, float *out)
{
    const size_t elems = (size_t)(n * row);
    const char *data = (const char *)t->data + gguf_bytes(t->type, first * row);
    switch (t->type) {
    case GGUF_Q8_0: q8_0_to_f32(out, data, elems); break;
    case GGUF_F32: dtype_convert(out, F32, data, F32, elems); break;
    case GGUF_F16: dtype_convert(out, F32, data, F16, elems); break;
    case GGUF_BF16: dtype_convert(out, F32, data, BF16, elems); break;
    }
}

static Status rows_of(const Stored *stored, int64_t first, int64_t n, float *out)
{
    const Piece *p = stored->source;
    const int64_t row = stored_row(stored), half = p->head_dim / 2;
    if (!p->head_dim) {
        read_rows(p->t, first, n, row, out);
        return OK;
    }
    for (int64_t i = first; i < first + n; i++, out += row) {
        const int64_t head = i / p->head_dim, a = i % p->head_dim; /* feature a of the head: of its first half at 2a, else between */
        read_rows(p->t, head * p->head_dim + (a < half ? 2 * a : 2 * (a - half) + 1), 1, row, out);
    }
    return OK;
}

static Status add(Model *out, const Gguf *g, const char *file, const Stored *like, const char *theirs)
{
    const GgufTensor *t = gguf_find(g, theirs);
    if (!t)
        return fail(ERR_INTERNAL, "%s: there is no %s", file, theirs);
    Piece *p = mem_alloc(sizeof *p);
    if (!p)
        return fail(ERR_NOMEM, "%s: out of memory", file);
    const bool rotated = strstr(theirs, "blk.") == theirs && (strstr(theirs, "attn_q") || strstr(theirs, "attn_k"));
    *p = (Piece){t, rotated ? out->llm->head_dim : 0};
    TRY(stored_keep(&out->tensors, p, mem_free));
    Stored own = {.name = like->name, .theirs = theirs, .file = file, .type = F32, .n_dims = t->n_dims, .rows = rows_of, .source = p};
    memcpy(own.shape, t->shape, sizeof t->shape);
    TRY(stored_check_shape(&own, like->n_dims, like->shape));
    return stored_add(&out->tensors, &own);
}

static void close_gguf(void *file)
{
    Gguf *g = file;
    gguf_close(&g);
}

static Status open_llm(Model *out, const Model *m, const char *path)
{
    Gguf *g;
    char name[WEIGHT_NAME_MAX];
    TRY(gguf_open(&g, path));
    TRY(stored_keep(&out->tensors, g, close_gguf));
    TRY_IN(check_llm(g, m), "%s", path);
    MistralConfig *own = mem_alloc(sizeof *own);
    if (!own)
        return fail(ERR_NOMEM, "%s: out of memory", path);
    *own = *m->llm;
    own->tied = !gguf_find(g, "output.weight");
    out->llm = own;
    TRY(stored_keep(&out->tensors, own, mem_free));
    for (int i = 0; i < m->whole.n; i++)
        if (gguf_llm_name(name, m->whole.list[i].name))
            TRY(add(out, g, path, &m->whole.list[i], name));
    return gguf_count(g) == m->whole.n ? OK : fail(ERR_INTERNAL, "%s: holds %d tensors, the model has %d", path, gguf_count(g), m->whole.n);
}

static Status open_tower(Model *out, const Model *m, const char *path)
{
    Gguf *g;
    char name[WEIGHT_NAME_MAX];
    TRY(gguf_open(&g, path));
    TRY(stored_keep(&out->tensors, g, close_gguf));
    TRY_IN(check_tower(g, m), "%s", path);
    for (int i = 0; i < m->tensors.n; i++)
        if (gguf_tower_name(name, m->tensors.list[i].name) && gguf_find(g, name))
            TRY(add(out, g, path, &m->tensors.list[i], name));
    return OK;
}

Status from_gguf(Model *out, const Model *m, const char *folder)
{
    char path[PATH_MAX];
    *out = (Model){.what = "GGUF files", .llm = m->llm, .vocab = model_rows(m)};
    snprintf(out->path, sizeof out->path, "%s", folder);
    TRY(cpu_open(&out->backend));
    Status s = stream_open(&out->stream, &m->cfg, &out->backend);
    if (!s)
        s = open_llm(out, m, file_join(path, folder, "model.gguf"));
    if (!s && file_exists(file_join(path, folder, "mmproj.gguf"))) {
        out->vision = m->vision;
        s = open_tower(out, m, path);
    }
    if (!s)
        s = stored_sort(&out->tensors);
    if (!s)
        s = merge_model(out);
    if (s)
        model_close(out);
    return s;
}
