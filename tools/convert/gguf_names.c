/* gguf_names.c: the names of llama.cpp (gguf_names.h). Called by to_gguf.c, to_mmproj.c and from_gguf.c. */
#include "tools/convert/gguf_names.h"

#include <stdio.h>
#include <string.h>

typedef struct Name {
    const char *ours, *theirs; /* '#': the number of a layer */
} Name;

static const Name LLM[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {"model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight"},
    {"model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight"},
    {"model.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight"},
    {"model.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight"},
    {"model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight"},
    {"model.layers.#.post_attention_layernorm.weight", "blk.#.ffn_norm.weight"},
    {"model.layers.#.mlp.gate_proj.weight", "blk.#.ffn_gate.weight"},
    {"model.layers.#.mlp.up_proj.weight", "blk.#.ffn_up.weight"},
    {"model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight"},
    {NULL, NULL},
};

/* Without ".weight" and ".bias". */
static const Name TOWER[] = {
    {"vision_model.embeddings.patch_embedding", "v.patch_embd"},
    {"vision_model.embeddings.position_embedding", "v.position_embd"},
    {"vision_model.encoder.layers.#.layer_norm1", "v.blk.#.ln1"},
    {"vision_model.encoder.layers.#.layer_norm2", "v.blk.#.ln2"},
    {"vision_model.encoder.layers.#.self_attn.q_proj", "v.blk.#.attn_q"},
    {"vision_model.encoder.layers.#.self_attn.k_proj", "v.blk.#.attn_k"},
    {"vision_model.encoder.layers.#.self_attn.v_proj", "v.blk.#.attn_v"},
    {"vision_model.encoder.layers.#.self_attn.out_proj", "v.blk.#.attn_out"},
    {"vision_model.encoder.layers.#.mlp.fc1", "v.blk.#.ffn_up"},
    {"vision_model.encoder.layers.#.mlp.fc2", "v.blk.#.ffn_down"},
    {"multi_modal_projector.linear_1", "mm.0"},
    {"multi_modal_projector.linear_2", "mm.1"},
    {NULL, NULL},
};

/* Whether a name is the pattern with a number in place of '#'. */
static bool fits(const char *pattern, const char *name, int *number)
{
    int used = 0;
    const char *hash = strchr(pattern, '#');
    if (!hash)
        return !strcmp(pattern, name);
    const size_t n = (size_t)(hash - pattern);
    return !strncmp(pattern, name, n) && sscanf(name + n, "%9d%n", number, &used) == 1 && !strcmp(hash + 1, name + n + used);
}

static bool rename_by(char out[WEIGHT_NAME_MAX], const Name *table, const char *ours, const char *ending)
{
    int number = 0;
    for (const Name *t = table; t->ours; t++)
        if (fits(t->ours, ours, &number)) {
            const char *hash = strchr(t->theirs, '#');
            if (hash)
                snprintf(out, WEIGHT_NAME_MAX, "%.*s%d%s%s", (int)(hash - t->theirs), t->theirs, number, hash + 1, ending);
            else
                snprintf(out, WEIGHT_NAME_MAX, "%s%s", t->theirs, ending);
            return true;
        }
    return false;
}

bool gguf_llm_name(char out[WEIGHT_NAME_MAX], const char *ours) { return rename_by(out, LLM, ours, ""); }

bool gguf_tower_name(char out[WEIGHT_NAME_MAX], const char *ours)
{
    char stem[WEIGHT_NAME_MAX];
    const char *ending = strrchr(ours, '.');
    if (!ending || (strcmp(ending, ".weight") && strcmp(ending, ".bias")))
        return false;
    snprintf(stem, sizeof stem, "%.*s", (int)(ending - ours), ours);
    return rename_by(out, TOWER, stem, ending);
}
