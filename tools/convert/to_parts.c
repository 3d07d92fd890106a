/* to_parts.c: what a run starts from: base, tower and trained parts side by side, to the bit, and a run.json that names them. Row "parts"
 * of convert.c. */
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "kernels/base/arena.h"
#include "tools/convert/drawing.h"
#include "tools/convert/folders.h"
#include "tools/convert/llm_files.h"
#include "tools/convert/to.h"
#include "train/models/lora.h"

Status to_parts_check(const Model *m, const WriteOptions *o)
{
    (void)o;
    for (int i = 0; i < m->n_adapted; i++)
        if (m->adapted[i].magnitude || m->cfg.model.llm.train != TRAIN_LORA)
            return fail(ERR_DATA,
                        "%s: a run cannot train on with such an adapter (DoRA, ranks or scales of single linears, modules_to_save, "
                        "rows of the base): merge it with --to hf",
                        m->path);
    return OK;
}

/* ---------------------------------------------------------------- the folders */

static Status write_llm(const Model *m, const WriteOptions *o, const char *folder)
{
    static const char *const NAMES[] = {"tokenizer.model",   "tokenizer_config.json",  "tokenizer.json",     "special_tokens_map.json",
                                        "added_tokens.json", "generation_config.json", "chat_template.jinja"};
    char path[PATH_MAX];
    OutList list = {0};
    Status s = folder_add(&list, m, "model.", 0, N_DTYPES);
    if (!s)
        s = folder_add(&list, m, "lm_head.", 0, N_DTYPES);
    if (!s)
        s = out_safetensors(&list, folder, "model", o->max_shard);
    out_free(&list);
    TRY(s);
    cJSON *config = llm_settings(m);
    cJSON_DeleteItemFromObjectCaseSensitive(config, "vocab_size");
    json_add_int(config, "vocab_size", m->vocab);
    folder_tell_type(config, stored_find(&m->tensors, "model.embed_tokens.weight")->type);
    TRY(json_save(file_join(path, folder, "config.json"), &config));
    const bool own = model_has_own_tokens(m); /* its tokenizer files tell of added tokens, which lie beside now */
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (i == 0 || !own)
            TRY(folder_copy_file(m->cfg.model.llm.path, folder, NAMES[i]));
    return OK;
}

/* Tensors whose names begin so, as a file of their own; none: no file. */
static Status write_file(const Model *m, const char *folder, const char *stem, const char *beginning)
{
    OutList list = {0};
    Status s = folder_add(&list, m, beginning, 0, N_DTYPES);
    if (!s && list.n)
        s = out_safetensors(&list, folder, stem, INT64_MAX);
    out_free(&list);
    return s;
}

static Status write_adapter(const Model *m, const char *folder)
{
    char path[PATH_MAX], base[] = "llm";
    RunConfig here = m->cfg;
    here.model.llm.path = base;
    TRY(folder_make(path, folder, "adapter"));
    TRY(lora_describe(NULL, &here, path));
    return write_file(m, path, "adapter_model", "base_model.");
}

static Status write_vision(const Model *m, const WriteOptions *o, const char *folder)
{
    char path[PATH_MAX];
    TRY(folder_make(path, folder, "vision"));
    TRY(folder_write_vision(m, path, N_DTYPES, o->max_shard));
    return write_file(m, folder, "projector", "multi_modal_projector.");
}

/* ---------------------------------------------------------------- run.json */

static void replace(cJSON *object, const char *key, const char *text)
{
    cJSON *value = text ? cJSON_CreateString(text) : cJSON_CreateNull();
    if (!cJSON_ReplaceItemInObjectCaseSensitive(object, key, value))
        cJSON_Delete(value);
}

static cJSON *member(cJSON *o, const char *key) { return cJSON_GetObjectItemCaseSensitive(o, key); }

/* What a starting point of a part is called here; "default" where it has none. */
static void name_start(cJSON *model, const char *part, const char *folder, const char *name)
{
    char path[PATH_MAX];
    replace(member(model, part), "init", file_exists(file_join(path, folder, name)) ? name : "default");
}

static void name_parts(const Model *m, cJSON *model, const char *folder)
{
    replace(member(model, "llm"), "path", "llm");
    replace(member(model, "llm"), "init", "weights");
    replace(member(model, "vision"), "path", m->vision ? "vision" : NULL);
    replace(member(model, "vision"), "init", "weights");
    if (m->vision) {
        cJSON_DeleteItemFromObjectCaseSensitive(member(model, "vision"), "layer");
        json_add_int(member(model, "vision"), "layer", folder_vision_layer(m));
    }
    name_start(model, "projector", folder, "projector.safetensors");
    name_start(model, "lora", folder, "adapter");
    name_start(model, "tokens", folder, "token_rows.safetensors");
    name_start(model, "gen_head", folder, "gen_head.safetensors");
    replace(member(model, "diffusion"), "path", m->cfg.model.diffusion.path ? "diffusion" : NULL);
    if (*m->checkpoint && m->cfg.model.diffusion.edit == EDIT_TRAIN_CONV_IN) /* it is widened already */
        replace(member(model, "diffusion"), "edit", "ip2p");
}

/* All of the run's settings, but for what belongs to its folder and its data. */
static Status write_run(const Model *m, const char *folder)
{
    static const char *const OF_THE_RUN[][2] = {
        {"data", "shards"}, {"data", "validation"}, {"sample", "prompts"}, {"eval", "suite"}, {"debug", "replay"}};
    char *text, path[PATH_MAX];
    TRY(config_to_json(&m->cfg, &text));
    JsonDoc *doc;
    Status s = json_parse(&doc, text, strlen(text), "run.json"); /* numbers stay what they are */
    mem_free(text);
    TRY(s);
    cJSON *run = json_copy(json_root(doc));
    json_free(&doc);
    cJSON_DeleteItemFromObjectCaseSensitive(run, "name");
    for (size_t i = 0; i < sizeof OF_THE_RUN / sizeof *OF_THE_RUN; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(member(run, OF_THE_RUN[i][0]), OF_THE_RUN[i][1]);
    replace(member(run, "data"), "mixture", "mixture.json");
    replace(member(run, "save"), "dir", "runs"); /* beside it, so that runs of others' parts are not met there */
    if (m->foreign && m->cfg.model.llm.train == TRAIN_FROZEN)
        replace(member(member(run, "model"), "llm"), "train", "lora");
    name_parts(m, member(run, "model"), folder);
    return json_save(file_join(path, folder, "run.json"), &run);
}

Status to_parts(Model *m, const WriteOptions *o, const char *folder)
{
    char path[PATH_MAX];
    TRY(folder_make(path, folder, "llm"));
    TRY(write_llm(m, o, path));
    if (m->vision)
        TRY(write_vision(m, o, folder));
    if (m->n_adapted)
        TRY(write_adapter(m, folder));
    TRY(write_file(m, folder, "token_rows", "token_rows."));
    TRY(drawing_write(m, folder, true));
    return write_run(m, folder);
}
