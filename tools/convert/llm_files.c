/* llm_files.c: config.json, generation_config.json, tokenizer of a language model (llm_files.h). */
#include "tools/convert/llm_files.h"

#include <string.h>

#include "data/formats/file.h"
#include "tools/convert/merge.h"

static const char *torch_type(OutType t) { return t == TYPE_F32 ? "float32" : t == TYPE_BF16 ? "bfloat16" : "float16"; }

cJSON *llm_config(const Model *m, const WriteOptions *o, int64_t n_rows)
{
    /* With a version up to 4.57.2 beside model type mistral, loading the tokenizer warns of a wrong pattern. */
    static const char *const DROPPED[] = {"transformers_version", "dtype",       "_name_or_path",      "auto_map",
                                          "vocab_size",           "torch_dtype", "tie_word_embeddings"};
    cJSON *c = json_copy(m->llm_config);
    for (size_t i = 0; i < sizeof DROPPED / sizeof *DROPPED; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(c, DROPPED[i]);
    json_add_int(c, "vocab_size", n_rows);
    cJSON_AddBoolToObject(c, "tie_word_embeddings", merge_ties(m));
    json_add_text(c, "torch_dtype", torch_type(o->type));
    return c;
}

Status llm_companions(const Model *m, const char *folder, const char *image_token, const char *pad_token)
{
    (void)image_token, (void)pad_token;
    char from[PATH_MAX], to[PATH_MAX];
    cJSON *g = cJSON_CreateObject();
    json_add_int(g, "bos_token_id", 1);
    json_add_int(g, "eos_token_id", 2);
    TRY(json_save(file_join(to, folder, "generation_config.json"), &g));
    return file_copy(file_join(from, m->cfg.model.llm.path, "tokenizer.model"), file_join(to, folder, "tokenizer.model"));
}
