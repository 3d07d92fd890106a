/* llm_files.c: config.json, generation_config.json, tokenizer of a language model (llm_files.h). */
#include "tools/convert/llm_files.h"

#include <string.h>

#include "data/formats/file.h"
#include "data/text/added_tokens.h"
#include "data/text/tokenizer.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "tools/convert/chat_template.h"
#include "tools/convert/folders.h"
#include "tools/convert/merge.h"
#include "tools/convert/tokenizer_files.h"
#include "train/config/plan.h"

cJSON *llm_settings(const Model *m)
{
    cJSON *c = json_copy(m->llm_config);
    for (const Json *v = m->llm_config->child; v; v = v->next)
        if (fields_rule(&LLAVA_FIELDS, v->key))
            cJSON_DeleteItemFromObjectCaseSensitive(c, v->key);
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c, "model_type"));
    if (type && !strcmp(type, m->llm->type))
        return c;
    cJSON_DeleteItemFromObjectCaseSensitive(c, "model_type");
    cJSON_DeleteItemFromObjectCaseSensitive(c, "architectures");
    json_add_text(cJSON_AddArrayToObject(c, "architectures"), NULL,
                  strcmp(m->llm->type, "llama") ? "MistralForCausalLM" : "LlamaForCausalLM");
    json_add_text(c, "model_type", m->llm->type);
    return c;
}

cJSON *llm_config(const Model *m, const WriteOptions *o, int64_t n_rows)
{
    /* With a version up to 4.57.2 beside model type mistral, loading the tokenizer warns of a wrong pattern. */
    static const char *const DROPPED[] = {"transformers_version", "dtype",       "_name_or_path",      "auto_map",
                                          "vocab_size",           "torch_dtype", "tie_word_embeddings"};
    cJSON *c = llm_settings(m);
    for (size_t i = 0; i < sizeof DROPPED / sizeof *DROPPED; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(c, DROPPED[i]);
    json_add_int(c, "vocab_size", n_rows);
    cJSON_AddBoolToObject(c, "tie_word_embeddings", merge_ties(m));
    json_add_text(c, "torch_dtype", folder_type_name(out_dtype(o->type)));
    return c;
}

/* generation_config.json of the base, with the tokens that all of them have. */
static Status write_generation(const Model *m, const char *folder)
{
    char path[PATH_MAX];
    cJSON *g = NULL;
    if (file_exists(file_join(path, m->cfg.model.llm.path, "generation_config.json"))) {
        JsonDoc *doc;
        TRY(json_read_file(&doc, path));
        g = json_copy(json_root(doc));
        json_free(&doc);
        cJSON_DeleteItemFromObjectCaseSensitive(g, "transformers_version");
    }
    g = g ? g : cJSON_CreateObject();
    if (!cJSON_HasObjectItem(g, "bos_token_id"))
        json_add_int(g, "bos_token_id", 1);
    if (!cJSON_HasObjectItem(g, "eos_token_id"))
        json_add_int(g, "eos_token_id", 2);
    return json_save(file_join(path, folder, "generation_config.json"), &g);
}

/* The template of prompts: a model that comes as a whole folder keeps its own, if it has one; of a run it is that of data.template. One
 * that this program has made is made again, for other tokens. */
Status llm_chat_template(char **text, const Model *m, const char *image_token, bool for_llama_cpp)
{
    char path[PATH_MAX];
    const EncoderOptions encoder = plan_encoder(&m->cfg, stream_sizes(m->stream));
    ChatTemplateOptions o = {
        .chat = encoder.chat, .task = encoder.task_text[TASK_UNDERSTAND], .image = image_token, .for_llama_cpp = for_llama_cpp};
    *text = NULL;
    if (file_exists(file_join(path, m->path, "config.json"))) {
        TRY(chat_template_read(text, m->path));
        if (!*text || !chat_template_is_ours(&o.chat, *text))
            return OK;
        mem_free(*text);
    }
    return chat_template_text(text, &o);
}

/* How many tokens a text may have: what the language model was made for. */
static int64_t max_length(const Model *m)
{
    const Json *positions = json_get(m->llm_config, "max_position_embeddings");
    return positions && positions->kind == JSON_INT ? positions->integer : m->cfg.data.max_tokens;
}

/* Tokens that others have added to a whole model: their rows stay, but a vocabulary of ours does not know their texts. */
static Status warn_of_lost_texts(const Model *m, const char *tokenizer, const char *const kept[2])
{
    AddedTokens added;
    Tokenizer *tok;
    TRY(tokenizer_open(&tok, tokenizer));
    const int32_t n_pieces = tokenizer_info(tok)->n_pieces;
    tokenizer_close(&tok);
    TRY(added_tokens_read(&added, m->cfg.model.llm.path));
    for (int i = 0; i < added.n; i++)
        if (added.item[i].id >= n_pieces && added.item[i].id < m->vocab && !(kept[0] && !strcmp(added.item[i].text, kept[0])) &&
            !(kept[1] && !strcmp(added.item[i].text, kept[1])))
            log_warn("%s: the token \"%s\" (id %d) is none of a run's: its row stays, its text is left out of the tokenizer",
                     m->cfg.model.llm.path, added.item[i].text, added.item[i].id);
    added_tokens_free(&added);
    return OK;
}

Status llm_companions(const Model *m, const char *folder, const char *image_token, const char *pad_token)
{
    char tokenizer[PATH_MAX], *chat;
    TRY(write_generation(m, folder));
    const char *const kept[2] = {image_token, pad_token}; /* the export has them under other ids */
    TRY(warn_of_lost_texts(m, file_join(tokenizer, m->cfg.model.llm.path, "tokenizer.model"), kept));
    TRY(llm_chat_template(&chat, m, image_token, false));
    const TokenizerFiles files = {.model_path = file_join(tokenizer, m->cfg.model.llm.path, "tokenizer.model"),
                                  .model_type = m->llm->type,
                                  .vocab_size = (int32_t)m->vocab,
                                  .added = (const char *const *)m->added,
                                  .n_added = m->n_added,
                                  .image = image_token,
                                  .pad = pad_token,
                                  .max_length = max_length(m),
                                  .chat_template = chat};
    Status s = tokenizer_files_write(folder, &files);
    mem_free(chat);
    return s;
}
