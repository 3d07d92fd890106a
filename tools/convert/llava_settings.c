/* llava_settings.c: tower and projector of LLaVA models (llava_settings.h). */
#include "tools/convert/llava_settings.h"

#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_fields.h"
#include "data/pictures/preprocessor.h"
#include "kernels/base/utf8.h"

enum { LAYERS_MAX = 4096, DEFAULT_LAYER = -2 };

/* A number, or a list of one. */
static int64_t read_layer(JsonFields *f, const char *key)
{
    const Json *v = fields_get(f->top, key);
    if (!v || v->kind != JSON_ARRAY)
        return fields_int(f, f->top, key, DEFAULT_LAYER, -LAYERS_MAX, LAYERS_MAX);
    if (v->length == 1 && v->child->kind == JSON_INT)
        return v->child->integer;
    fields_refuse(f, v, key, "is a list of %zu layers, expected one: features of several side by side are not supported", v->length);
    return DEFAULT_LAYER;
}

/* Whose features are taken: of CLIP all but the class token's, of SigLIP, which has no such token, all. */
static void check_features(JsonFields *f, const char *key, bool clip, const char *is, const char *expected)
{
    if (strcmp(is, expected))
        fields_refuse(f, fields_get(f->top, key), key, "is \"%s\", expected \"%s\": %s", is, expected,
                      clip ? "the class token of a CLIP tower is no feature here" : "a SigLIP tower has no class token to leave out");
}

/* ---------------------------------------------------------------- transformers */

static void read_transformers(LlavaSettings *s, JsonFields *f, const char *folder)
{
    static const char STRATEGY[] = "vision_feature_select_strategy", ACT[] = "projector_hidden_act", BIAS[] = "multimodal_projector_bias";
    const bool clip = preprocessor_tower(f).clip;
    const char *act = fields_string(f, f->top, ACT, "gelu");
    snprintf(s->tower, sizeof s->tower, "%s", folder);
    snprintf(s->projector, sizeof s->projector, "mlp2x_gelu");
    s->layer = read_layer(f, "vision_feature_layer");
    s->pad = !strcmp(fields_string(f, f->top, "image_aspect_ratio", ""), "pad"); /* only our exports say so */
    check_features(f, STRATEGY, clip, fields_string(f, f->top, STRATEGY, "default"), clip ? "default" : "full");
    if (strcmp(act, "gelu"))
        fields_refuse(f, fields_get(f->top, ACT), ACT, "is \"%s\", expected \"gelu\"", act);
    if (!fields_bool(f, f->top, BIAS, true))
        fields_refuse(f, fields_get(f->top, BIAS), BIAS, "is false, expected true");
}

/* ---------------------------------------------------------------- LLaVA's own */

static Status find_tower(LlavaSettings *s, JsonFields *f, const char *folder)
{
    static const char TOWER[] = "mm_vision_tower";
    char config[PATH_MAX];
    const char *name = fields_string(f, f->top, TOWER, "");
    if (!*name)
        fields_refuse(f, f->top, TOWER, "is missing, expected the folder of the vision tower");
    TRY(f->status);
    if (*name == '/')
        snprintf(s->tower, sizeof s->tower, "%s", name);
    else
        file_join(s->tower, folder, name);
    if (!file_exists(file_join(config, s->tower, "config.json")))
        return fail(ERR_MISSING,
                    "%s: %s is \"%s\", and there is no %s; put the tower's folder on this machine and write its absolute path there",
                    f->file, TOWER, name, config);
    return OK;
}

static Status tower_is_clip(bool *clip, const char *folder)
{
    JsonFields f;
    TRY(fields_open(&f, folder, "config.json"));
    *clip = preprocessor_tower(&f).clip;
    fields_close(&f);
    return f.status;
}

static void read_projector(LlavaSettings *s, JsonFields *f)
{
    static const char TYPE[] = "mm_projector_type";
    const char *type = fields_string(f, f->top, TYPE, "linear");
    const bool layers = !strncmp(type, "mlp", strlen("mlp")) && utf8_ends(type, "x_gelu");
    if ((!layers && strcmp(type, "linear")) || strlen(type) >= sizeof s->projector)
        fields_refuse(f, fields_get(f->top, TYPE), TYPE, "is \"%s\", expected \"linear\" or \"mlpKx_gelu\"", type);
    else
        snprintf(s->projector, sizeof s->projector, "%s", type);
}

static Status read_own(LlavaSettings *s, JsonFields *f, const char *folder)
{
    static const char ASPECT[] = "image_aspect_ratio", FEATURE[] = "mm_vision_select_feature";
    bool clip = false;
    TRY(find_tower(s, f, folder));
    TRY(tower_is_clip(&clip, s->tower));
    const char *aspect = fields_string(f, f->top, ASPECT, "square"), *feature = fields_string(f, f->top, FEATURE, "patch");
    s->layer = read_layer(f, "mm_vision_select_layer");
    s->pad = !strcmp(aspect, "pad");
    if (!s->pad && strcmp(aspect, "square"))
        fields_refuse(f, fields_get(f->top, ASPECT), ASPECT, "is \"%s\", expected \"pad\", \"square\" or null", aspect);
    if (clip || strcmp(feature, "patch")) /* LLaVA's loaders of SigLIP take all features, whatever it says */
        check_features(f, FEATURE, clip, feature, clip ? "patch" : "cls_patch");
    read_projector(s, f);
    return f->status;
}

Status llava_settings_read(LlavaSettings *s, const char *folder)
{
    static const char TYPE[] = "model_type";
    JsonFields f;
    Status status = OK;
    *s = (LlavaSettings){0};
    TRY(fields_open(&f, folder, "config.json"));
    const char *type = fields_string(&f, f.top, TYPE, "");
    if (fields_object(&f, f.top, "text_config")) {
        s->has_tower = true;
        if (strcmp(type, "llava"))
            fields_refuse(&f, fields_get(f.top, TYPE), TYPE, "is \"%s\", expected \"llava\" beside a text_config", type);
        read_transformers(s, &f, folder);
    } else if (fields_get(f.top, "mm_vision_tower") || !strncmp(type, "llava", strlen("llava"))) {
        s->has_tower = true;
        status = read_own(s, &f, folder);
    }
    status = status ? status : f.status;
    fields_close(&f);
    return status;
}
