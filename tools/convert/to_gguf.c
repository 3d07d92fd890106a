/* to_gguf.c: the language model for llama.cpp, with its vocabulary; vision tower and projector in a file beside (to_mmproj.c). Row "gguf"
 * of convert.c. Source of keys and names: llama.cpp, gguf-py/gguf/constants.py and convert_hf_to_gguf.py. */
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "tools/convert/gguf_names.h"
#include "tools/convert/gguf_out.h"
#include "tools/convert/llm_files.h"
#include "tools/convert/merge.h"
#include "tools/convert/to_mmproj.h"
#include "tools/convert/vocabulary.h"
#include "train/config/plan.h"

Status to_gguf_check(const Model *m, const WriteOptions *o)
{
    (void)o;
    if (m->llm->window)
        log_warn("llama.cpp attends to everything: beyond the sliding window of %lld positions it answers differently",
                 (long long)m->llm->window);
    if (m->cfg.model.diffusion.path)
        log_warn("gguf holds what answers: the generation head is left out (--to diffusers or parts takes it)");
    return m->vision ? to_mmproj_check(m) : OK;
}

/* ---------------------------------------------------------------- tensors */

/* Rows of queries or keys in the order of llama.cpp's rotation: each head's halves, row by row in turn. */
typedef struct Permuted {
    const Stored *t;
    int64_t head_dim;
} Permuted;

static Status rows_permuted(const Stored *stored, int64_t first, int64_t n, float *out)
{
    const Permuted *p = stored->source;
    const int64_t dim = p->head_dim, half = dim / 2, row = stored_row(stored);
    const int64_t start = first / dim * dim, end = (first + n + dim - 1) / dim * dim; /* whole heads */
    float *heads = mem_alloc((size_t)((end - start) * row) * sizeof *heads);
    Status s = heads ? stored_rows(p->t, start, end - start, heads) : fail(ERR_NOMEM, "%s: out of memory", stored->name);
    for (int64_t i = first; i < first + n && !s; i++) {
        const int64_t j = i % dim, from = i - j + j % 2 * half + j / 2;
        memcpy(out + (i - first) * row, heads + (from - start) * row, (size_t)row * sizeof *out);
    }
    mem_free(heads);
    return s;
}

static Status permute(Model *m, const Stored *t, Stored *out)
{
    Permuted *p = mem_alloc(sizeof *p);
    if (!p)
        return fail(ERR_NOMEM, "%s: out of memory", t->name);
    *p = (Permuted){t, m->llm->head_dim};
    *out = *t;
    out->type = F32;
    out->data = NULL;
    out->rows = rows_permuted;
    out->source = p;
    return stored_keep(&m->whole, p, mem_free);
}

static Status list_tensors(OutList *l, Model *m, const WriteOptions *o)
{
    for (int i = 0; i < m->whole.n; i++) {
        const Stored *t = &m->whole.list[i];
        Stored value = *t;
        char name[WEIGHT_NAME_MAX];
        if (!gguf_llm_name(name, t->name))
            return fail(ERR_INTERNAL, "%s: has no name in GGUF", t->name);
        if (strstr(t->name, "self_attn.q_proj") || strstr(t->name, "self_attn.k_proj"))
            TRY(permute(m, t, &value));
        TRY(out_add(l, name, t->n_dims == 1 ? F32 : out_dtype(o->type), &value));
    }
    return OK;
}

/* ---------------------------------------------------------------- metadata */

static void put_sizes(GgufWriter *w, const Model *m)
{
    const MistralConfig *c = m->llm;
    const Json *positions = json_get(m->llm_config, "max_position_embeddings");
    const struct {
        const char *key;
        int64_t value;
    } sizes[] = {
        {"llama.context_length", positions && positions->kind == JSON_INT ? positions->integer : 4096 * 32},
        {"llama.embedding_length", c->hidden},
        {"llama.block_count", c->layers},
        {"llama.feed_forward_length", c->ff},
        {"llama.attention.head_count", c->heads},
        {"llama.attention.head_count_kv", c->kv_heads},
        {"llama.attention.key_length", c->head_dim},
        {"llama.attention.value_length", c->head_dim},
        {"llama.rope.dimension_count", c->head_dim},
        {"llama.vocab_size", model_rows(m)},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        gguf_put_u32(w, sizes[i].key, (uint32_t)sizes[i].value);
    gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", (float)c->eps);
    gguf_put_f32(w, "llama.rope.freq_base", (float)c->rope_base);
    if (c->rope_factor != 1) {
        gguf_put_text(w, "llama.rope.scaling.type", "linear");
        gguf_put_f32(w, "llama.rope.scaling.factor", (float)c->rope_factor);
    }
    if (c->window)
        gguf_put_u32(w, "llama.attention.sliding_window", (uint32_t)c->window);
}

static Status put_vocabulary(GgufWriter *w, const Model *m)
{
    char path[PATH_MAX];
    Vocabulary v;
    TRY(vocabulary_make(&v, file_join(path, m->cfg.model.llm.path, "tokenizer.model"), (int32_t)m->vocab, (const char *const *)m->added,
                        m->n_added, "[PAD", "]"));
    Status s = vocabulary_check_llama_cpp(&v);
    gguf_put_text(w, "tokenizer.ggml.model", "llama");
    gguf_put_text(w, "tokenizer.ggml.pre", "default");
    gguf_put_texts(w, "tokenizer.ggml.tokens", v.token, (size_t)v.n);
    gguf_put_f32s(w, "tokenizer.ggml.scores", v.score, (size_t)v.n);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", v.kind, (size_t)v.n);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)v.info.bos);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)v.info.eos);
    gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", (uint32_t)v.info.unk);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
    gguf_put_bool(w, "tokenizer.ggml.add_eos_token", false);
    gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", v.info.dummy_prefix);
    vocabulary_free(&v);
    return s;
}

static Status put_chat_template(GgufWriter *w, const Model *m)
{
    char *chat;
    TRY(llm_chat_template(&chat, m, NULL, true));
    if (chat)
        gguf_put_text(w, "tokenizer.chat_template", chat);
    mem_free(chat);
    return OK;
}

static Status write_file(Model *m, const WriteOptions *o, const OutList *l, const char *path)
{
    GgufWriter *w;
    TRY(gguf_create(&w, path));
    gguf_put_text(w, "general.architecture", "llama");
    gguf_put_text(w, "general.name", m->cfg.name);
    gguf_put_u32(w, "general.file_type", gguf_out_file_type(o->type));
    put_sizes(w, m);
    Status s = put_vocabulary(w, m);
    if (!s)
        s = put_chat_template(w, m);
    if (s) {
        gguf_abandon(&w);
        return s;
    }
    return gguf_out_write(w, l, o->type == TYPE_Q8_0);
}

Status to_gguf(Model *m, const WriteOptions *o, const char *folder)
{
    char path[PATH_MAX];
    OutList l = {0};
    Status s = list_tensors(&l, m, o);
    if (!s)
        s = write_file(m, o, &l, file_join(path, folder, "model.gguf"));
    out_free(&l);
    return s || !m->vision ? s : to_mmproj(m, o, file_join(path, folder, "mmproj.gguf"));
}
