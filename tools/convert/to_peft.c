/* to_peft.c: the adapters as PEFT loads them over the base, with the added rows as trainable tokens. Row "peft" of convert.c. */
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "kernels/base/log.h"
#include "tools/convert/folders.h"
#include "tools/convert/merge.h"
#include "tools/convert/to.h"
#include "train/models/lora.h"

static const char EMBED[] = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",
                  HEAD[] = "base_model.model.lm_head.token_adapter.trainable_tokens_delta";

/* A base whose head is its embeddings has one table of tokens, the run two blocks of added rows. */
static bool rows_differ(const Model *m) { return m->llm->tied && !merge_ties(m); }

Status to_peft_check(const Model *m, const WriteOptions *o)
{
    (void)o;
    if (!m->n_adapted)
        return fail(ERR_DATA, "%s: has no adapters, which is what peft holds; take --to hf", m->path);
    if (m->cfg.model.llm.train != TRAIN_LORA)
        return fail(ERR_DATA, "%s: its adapter has more than plain LoRA; it is in the format of PEFT already, or take --to hf", m->path);
    if (m->vision)
        log_warn("peft holds the adapters; the vision tower is left out, the projector lies beside them");
    if (m->cfg.model.diffusion.path)
        log_warn("peft holds the adapters; the generation head is left out (--to diffusers or parts takes it)");
    if (rows_differ(m))
        log_warn("the added rows of embeddings and head differ, but the base has one table for both: untie it before loading, as README.md "
                 "in the folder shows");
    return OK;
}

static cJSON *row_ids(const Model *m)
{
    cJSON *ids = cJSON_CreateArray();
    for (int i = 0; i < m->n_added; i++)
        json_add_int(ids, NULL, m->vocab + i);
    return ids;
}

/* The run's own adapter_config.json, and the rows. */
static Status write_config(const Model *m, const char *folder)
{
    char path[PATH_MAX];
    JsonDoc *doc;
    TRY(lora_describe(NULL, &m->cfg, folder));
    if (!m->n_added)
        return OK;
    TRY(json_read_file(&doc, file_join(path, folder, "adapter_config.json")));
    cJSON *config = json_copy(json_root(doc));
    json_free(&doc);
    if (merge_ties(m)) {
        json_add(config, "trainable_token_indices", row_ids(m));
    } else {
        cJSON *rows = cJSON_AddObjectToObject(config, "trainable_token_indices");
        json_add(rows, "embed_tokens", row_ids(m));
        json_add(rows, "lm_head", row_ids(m));
    }
    return json_save(path, &config);
}

static DType type_of(const WriteOptions *o, const Stored *t) { return o->type_given ? out_dtype(o->type) : t->type; }

static Status write_weights(const Model *m, const WriteOptions *o, const char *folder)
{
    OutList list = {0};
    Status s = folder_add(&list, m, "base_model.", 0, o->type_given ? out_dtype(o->type) : N_DTYPES);
    const Stored *embed = stored_find(&m->tensors, "token_rows.embed_tokens"), *head = stored_find(&m->tensors, "token_rows.lm_head");
    if (!s && m->n_added)
        s = out_add(&list, EMBED, type_of(o, embed), embed);
    if (!s && m->n_added && !merge_ties(m))
        s = out_add(&list, HEAD, type_of(o, head), head);
    if (!s)
        s = out_safetensors(&list, folder, "adapter_model", INT64_MAX);
    out_free(&list);
    return s;
}

static Status write_projector(const Model *m, const WriteOptions *o, const char *folder)
{
    OutList list = {0};
    Status s = folder_add(&list, m, "multi_modal_projector.", 0, o->type_given ? out_dtype(o->type) : N_DTYPES);
    if (!s && list.n)
        s = out_safetensors(&list, folder, "projector", INT64_MAX);
    out_free(&list);
    return s;
}

static Status write_tokens(const Model *m, const char *folder)
{
    char path[PATH_MAX];
    cJSON *tokens = cJSON_CreateObject();
    for (int i = 0; i < m->n_added; i++)
        json_add_int(tokens, m->added[i], m->vocab + i);
    return json_save(file_join(path, folder, "added_tokens.json"), &tokens);
}

Status to_peft(Model *m, const WriteOptions *o, const char *folder)
{
    TRY(write_config(m, folder));
    TRY(write_weights(m, o, folder));
    TRY(write_projector(m, o, folder));
    return m->n_added ? write_tokens(m, folder) : OK;
}
