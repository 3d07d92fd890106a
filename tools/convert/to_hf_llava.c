/* to_hf_llava.c: tower, projector and language model as one, as transformers' LlavaForConditionalGeneration. Row "hf-llava" of convert.c.
 * Names on disk are those that all its versions read. */
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/pictures/preprocessor.h"
#include "kernels/base/log.h"
#include "tools/convert/folders.h"
#include "tools/convert/extra_rows.h"
#include "tools/convert/llm_files.h"
#include "tools/convert/merge.h"
#include "tools/convert/out.h"
#include "tools/convert/to.h"

static const char IMAGE[] = "<image>", PAD[] = "<pad>";
enum { EXTRA_ROWS = 2 }; /* of these */

Status to_hf_llava_check(const Model *m, const WriteOptions *o)
{
    (void)o;
    if (!m->vision)
        return fail(ERR_DATA, "%s: has no vision tower; --to hf takes the language model", m->path);
    if (m->cfg.model.projector.depth != 2)
        return fail(ERR_DATA, "%s: its projector has %d layers, LlavaForConditionalGeneration has two", m->path,
                    m->cfg.model.projector.depth);
    if (m->cfg.model.vision.aspect == ASPECT_PAD && stream_preprocessor(m->stream)->prep.pad)
        log_warn(
            "hf-llava does not pad pictures to a square, as this model was trained: pad them before the processor sees them (README.md "
            "in the folder shows how)");
    if (m->cfg.model.diffusion.path)
        log_warn("hf-llava holds what answers: the generation head is left out (--to diffusers or parts takes it)");
    return OK;
}

/* ---------------------------------------------------------------- weights */

static Status add_llm(OutList *l, Model *m, DType type)
{
    char name[WEIGHT_NAME_MAX + 16];
    for (int i = 0; i < m->whole.n; i++) {
        const Stored *t = &m->whole.list[i];
        Stored value = *t;
        if (!strcmp(t->name, "model.embed_tokens.weight") || !strcmp(t->name, "lm_head.weight"))
            TRY(extra_rows_add(m, t, EXTRA_ROWS, &value));
        snprintf(name, sizeof name, "language_model.%s", t->name);
        TRY(out_add(l, name, type, &value));
    }
    return OK;
}

/* The tower with all its blocks, but for the pooling head and what is no weight. */
static Status add_tower(OutList *l, const Model *m, DType type)
{
    char name[WEIGHT_NAME_MAX + 16];
    for (int i = 0; i < m->tensors.n; i++) {
        const Stored *t = &m->tensors.list[i];
        if (strncmp(t->name, "vision_model.", strlen("vision_model.")) ||
            !strncmp(t->name, "vision_model.head.", strlen("vision_model.head.")) || strstr(t->name, "position_ids"))
            continue;
        snprintf(name, sizeof name, "vision_tower.%s", t->name);
        TRY(out_add(l, name, type, t));
    }
    return OK;
}

static Status write_weights(Model *m, const WriteOptions *o, const char *folder)
{
    OutList l = {0};
    const DType type = out_dtype(o->type);
    Status s = add_llm(&l, m, type);
    if (!s)
        s = add_tower(&l, m, type);
    if (!s)
        s = folder_add_last_norm(&l, m, "vision_tower.", type);
    for (int i = 0; i < m->tensors.n && !s; i++)
        if (!strncmp(m->tensors.list[i].name, "multi_modal_projector.", strlen("multi_modal_projector.")))
            s = out_add(&l, m->tensors.list[i].name, type, &m->tensors.list[i]);
    if (!s)
        s = out_safetensors(&l, folder, "model", o->max_shard);
    out_free(&l);
    return s;
}

/* ---------------------------------------------------------------- settings */

static void set_int(cJSON *o, const char *key, int64_t value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(o, key);
    json_add_int(o, key, value);
}

static void set_default(cJSON *o, const char *key, const char *text)
{
    if (!cJSON_HasObjectItem(o, key))
        json_add_text(o, key, text);
}

static void set_text(cJSON *o, const char *key, const char *text)
{
    cJSON_DeleteItemFromObjectCaseSensitive(o, key);
    json_add_text(o, key, text);
}

/* Every field is spelled out: absent ones are those of the class, which need not be the ones that this tower has. */
static cJSON *tower_config(const Model *m)
{
    static const char *const ACTS[] = {[ACT_GELU_ERF] = "gelu", [ACT_GELU_TANH] = "gelu_pytorch_tanh", [ACT_GELU_QUICK] = "quick_gelu"};
    const SiglipConfig *c = m->vision;
    cJSON *o = json_copy(m->vision_config);
    cJSON_DeleteItemFromObjectCaseSensitive(o, "transformers_version");
    set_text(o, "model_type", c->clip ? "clip_vision_model" : "siglip_vision_model");
    set_text(o, "hidden_act", ACTS[c->act]);
    set_int(o, "hidden_size", c->hidden);
    set_int(o, "intermediate_size", c->ff);
    set_int(o, "num_hidden_layers", folder_vision_layers(m));
    set_int(o, "num_attention_heads", c->heads);
    set_int(o, "num_channels", 3);
    set_int(o, "patch_size", c->patch);
    if (!cJSON_HasObjectItem(o, "image_size"))
        json_add_int(o, "image_size", c->height);
    if (!cJSON_HasObjectItem(o, "layer_norm_eps"))
        json_add_real(o, "layer_norm_eps", c->eps);
    cJSON_DeleteItemFromObjectCaseSensitive(o, "vision_use_head");
    if (!c->clip)
        cJSON_AddFalseToObject(o, "vision_use_head");
    return o;
}

/* CLIP's class token is no feature: "default" takes the first of the tower's outputs away. */
static const char *strategy(const Model *m) { return m->vision->clip ? "default" : "full"; }

/* 0 means no layer at all in some versions. */
static int64_t feature_layer(const Model *m)
{
    const int64_t layer = folder_vision_layer(m);
    return layer ? layer : -(folder_vision_layers(m) + 1);
}

static Status write_config(const Model *m, const WriteOptions *o, const char *folder)
{
    char path[PATH_MAX];
    const int64_t rows = model_rows(m);
    cJSON *c = cJSON_CreateObject(), *text = llm_config(m, o, rows + EXTRA_ROWS);
    set_default(text, "model_type", "mistral");
    json_add_text(cJSON_AddArrayToObject(c, "architectures"), NULL, "LlavaForConditionalGeneration");
    json_add_text(c, "model_type", "llava");
    json_add_int(c, "image_token_index", rows);
    json_add_int(c, "pad_token_id", rows + 1);
    json_add_int(c, "image_seq_length", stream_sizes(m->stream)->patches);
    json_add_text(c, "projector_hidden_act", "gelu");
    cJSON_AddTrueToObject(c, "multimodal_projector_bias");
    json_add_int(c, "vision_feature_layer", feature_layer(m));
    json_add_text(c, "vision_feature_select_strategy", strategy(m));
    if (m->cfg.model.vision.aspect == ASPECT_PAD) /* for our reader: transformers' processor does not know it */
        json_add_text(c, "image_aspect_ratio", "pad");
    cJSON_AddBoolToObject(c, "tie_word_embeddings", merge_ties(m));
    json_add_text(c, "torch_dtype", cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(text, "torch_dtype")));
    json_add(c, "text_config", text);
    json_add(c, "vision_config", tower_config(m));
    return json_save(file_join(path, folder, "config.json"), &c);
}

/* How pictures are prepared, as the tower's folder says it, and for whom. */
static Status write_processor(const Model *m, const char *folder)
{
    char path[PATH_MAX];
    JsonDoc *doc;
    TRY(json_read_file(&doc, file_join(path, m->cfg.model.vision.path, preprocessor_file(m->cfg.model.vision.path))));
    const Json *inner = json_get(json_root(doc), "image_processor");
    cJSON *p = json_copy(inner ? inner : json_root(doc)), *processor = cJSON_CreateObject();
    json_free(&doc);
    /* the older key, which files of CLIP have alone */
    const char *older = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(p, "feature_extractor_type"));
    const bool clip = older ? !strncmp(older, "CLIP", strlen("CLIP")) : m->vision->clip;
    set_default(p, "image_processor_type", clip ? "CLIPImageProcessor" : "SiglipImageProcessor");
    cJSON_DeleteItemFromObjectCaseSensitive(p, "feature_extractor_type");
    cJSON_DeleteItemFromObjectCaseSensitive(p, "processor_class");
    json_add_text(p, "processor_class", "LlavaProcessor");
    TRY(json_save(file_join(path, folder, "preprocessor_config.json"), &p));
    json_add_text(processor, "processor_class", "LlavaProcessor");
    json_add_int(processor, "patch_size", m->vision->patch);
    json_add_text(processor, "vision_feature_select_strategy", strategy(m));
    json_add_int(processor, "num_additional_image_tokens", m->vision->clip);
    json_add_text(processor, "image_token", IMAGE);
    return json_save(file_join(path, folder, "processor_config.json"), &processor);
}

Status to_hf_llava(Model *m, const WriteOptions *o, const char *folder)
{
    TRY(write_weights(m, o, folder));
    TRY(write_config(m, o, folder));
    TRY(write_processor(m, folder));
    return llm_companions(m, folder, IMAGE, PAD);
}
