/* to_llava.c: LLaVA's own layout: projector and merged language model in one, the tower in a folder beside. Row "llava" of convert.c. */
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "kernels/base/log.h"
#include "tools/convert/folders.h"
#include "tools/convert/llm_files.h"
#include "tools/convert/merge.h"
#include "tools/convert/out.h"
#include "tools/convert/to.h"

Status to_llava_check(const Model *m, const WriteOptions *o)
{
    (void)o;
    if (!m->vision)
        return fail(ERR_DATA, "%s: has no vision tower; --to hf takes the language model", m->path);
    if (m->cfg.model.diffusion.path)
        log_warn("llava holds what answers: the generation head is left out (--to diffusers or parts takes it)");
    return OK;
}

/* Layers of the projector, among which LLaVA counts the activations: 0, 2, 4; a single one has no number. */
static void projector_name(char out[WEIGHT_NAME_MAX], const Model *m, const char *ours)
{
    static const char BEFORE[] = "multi_modal_projector.linear_";
    int k = 1, used = 0;
    sscanf(ours + strlen(BEFORE), "%d%n", &k, &used);
    const char *rest = ours + strlen(BEFORE) + used;
    if (m->cfg.model.projector.depth == 1)
        snprintf(out, WEIGHT_NAME_MAX, "model.mm_projector%s", rest);
    else
        snprintf(out, WEIGHT_NAME_MAX, "model.mm_projector.%d%s", 2 * (k - 1), rest);
}

static Status write_weights(const Model *m, const WriteOptions *o, const char *folder)
{
    OutList l = {0};
    Status s = OK;
    for (int i = 0; i < m->whole.n && !s; i++)
        s = out_add(&l, m->whole.list[i].name, out_dtype(o->type), &m->whole.list[i]);
    for (int i = 0; i < m->tensors.n && !s; i++) {
        char name[WEIGHT_NAME_MAX];
        const Stored *t = &m->tensors.list[i];
        if (strncmp(t->name, "multi_modal_projector.", strlen("multi_modal_projector.")))
            continue;
        projector_name(name, m, t->name);
        s = out_add(&l, name, out_dtype(o->type), t);
    }
    if (!s)
        s = out_safetensors(&l, folder, "model", o->max_shard);
    out_free(&l);
    return s;
}

static Status write_config(const Model *m, const WriteOptions *o, const char *folder)
{
    char path[PATH_MAX], type[64], class[64];
    const bool llama = !strcmp(m->llm->type, "llama");
    cJSON *c = llm_config(m, o, model_rows(m));
    snprintf(type, sizeof type, "llava_%s", m->llm->type);
    snprintf(class, sizeof class, "Llava%sForCausalLM", llama ? "Llama" : "Mistral");
    cJSON_DeleteItemFromObjectCaseSensitive(c, "architectures");
    cJSON_DeleteItemFromObjectCaseSensitive(c, "model_type");
    json_add_text(cJSON_AddArrayToObject(c, "architectures"), NULL, class);
    json_add_text(c, "model_type", type);
    json_add_text(c, "mm_vision_tower", "vision");
    json_add_int(c, "mm_hidden_size", m->vision->hidden);
    json_add_text(c, "mm_projector_type", m->cfg.model.projector.type);
    json_add_int(c, "mm_vision_select_layer", folder_vision_layer(m));
    json_add_text(c, "mm_vision_select_feature", m->vision->clip ? "patch" : "cls_patch"); /* all but CLIP's class token */
    json_add_text(c, "mm_patch_merge_type", "flat");
    cJSON_AddFalseToObject(c, "mm_use_im_start_end");
    cJSON_AddFalseToObject(c, "mm_use_im_patch_token");
    cJSON_AddTrueToObject(c, "use_mm_proj");
    json_add_text(c, "image_aspect_ratio", m->cfg.model.vision.aspect == ASPECT_PAD ? "pad" : NULL);
    json_add_int(c, "tokenizer_model_max_length", m->cfg.data.max_tokens);
    json_add_text(c, "tokenizer_padding_side", "right");
    cJSON_AddFalseToObject(c, "tune_mm_mlp_adapter");
    cJSON_AddFalseToObject(c, "freeze_mm_mlp_adapter");
    json_add_text(c, "mm_projector_lr", NULL);
    return json_save(file_join(path, folder, "config.json"), &c);
}

Status to_llava(Model *m, const WriteOptions *o, const char *folder)
{
    char vision[PATH_MAX];
    TRY(write_weights(m, o, folder));
    TRY(write_config(m, o, folder));
    TRY(folder_make(vision, folder, "vision"));
    TRY(folder_write_vision(m, vision, out_dtype(o->type), o->max_shard));
    return llm_companions(m, folder, NULL, NULL);
}
