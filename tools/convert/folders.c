/* folders.c: folders and files that formats share (folders.h). */
#include "tools/convert/folders.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"

Status folder_add(OutList *l, const Model *m, const char *beginning, size_t cut, DType type)
{
    for (int i = 0; i < m->tensors.n; i++) {
        const Stored *t = &m->tensors.list[i];
        if (!strncmp(t->name, beginning, strlen(beginning)))
            TRY(out_add(l, t->name + cut, type == N_DTYPES ? t->type : type, t));
    }
    return OK;
}

Status folder_copy_file(const char *from, const char *to, const char *name)
{
    char a[PATH_MAX], b[PATH_MAX];
    return file_exists(file_join(a, from, name)) ? file_copy(a, file_join(b, to, name)) : OK;
}

Status folder_make(char path[PATH_MAX], const char *folder, const char *name)
{
    return file_make_own_folder(file_join(path, folder, name));
}

const char *folder_type_name(DType type)
{
    return type == F32 ? "float32" : type == BF16 ? "bfloat16" : type == F64 ? "float64" : "float16";
}

void folder_tell_type(cJSON *config, DType type)
{
    static const char *const KEYS[] = {"torch_dtype", "dtype"};
    for (int i = 0; i < 2; i++)
        if (cJSON_HasObjectItem(config, KEYS[i]))
            cJSON_ReplaceItemInObjectCaseSensitive(config, KEYS[i], cJSON_CreateString(folder_type_name(type)));
}

typedef struct Copy {
    const char *from, *to;
    const char *const *but;
} Copy;

static Status copy_one(void *arg, const char *name)
{
    const Copy *c = arg;
    char from[PATH_MAX], to[PATH_MAX];
    struct stat st;
    for (const char *const *but = c->but; but && *but; but++)
        if (!strcmp(name, *but))
            return OK;
    if (stat(file_join(from, c->from, name), &st))
        return fail(ERR_MISSING, "%s: a link to nothing", from);
    file_join(to, c->to, name);
    if (S_ISDIR(st.st_mode)) {
        TRY(file_make_own_folder(to));
        return folder_copy(from, to, NULL);
    }
    return S_ISREG(st.st_mode) ? file_copy(from, to)
                               : fail(ERR_DATA, "%s: is %s, expected a file or a folder", from, file_kind(st.st_mode));
}

Status folder_copy(const char *from, const char *to, const char *const *but) { return file_list(from, copy_one, &(Copy){from, to, but}); }

/* ---------------------------------------------------------------- the vision tower */

int64_t folder_vision_layers(const Model *m)
{
    char name[WEIGHT_NAME_MAX];
    int64_t n = m->vision->layers;
    for (; n > m->vision->blocks && n > 1; n--) {
        snprintf(name, sizeof name, "vision_model.encoder.layers.%" PRId64 ".layer_norm1.weight", n - 1);
        if (stored_find(&m->tensors, name))
            break;
    }
    return n;
}

int64_t folder_vision_layer(const Model *m)
{
    const int64_t layer = m->cfg.model.vision.layer;
    return layer == -1 || folder_vision_layers(m) < m->vision->layers ? m->vision->blocks : layer;
}

static Status constant_rows(const Stored *t, int64_t first, int64_t n, float *out)
{
    (void)first;
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)t->at;
    return OK;
}

Status folder_add_last_norm(OutList *l, const Model *m, const char *before, DType type)
{
    static const char *const ENDINGS[] = {"bias", "weight"}; /* zeros, ones */
    for (int i = 0; i < 2; i++) {
        char name[WEIGHT_NAME_MAX];
        snprintf(name, sizeof name, "vision_model.post_layernorm.%s", ENDINGS[i]);
        if (stored_find(&m->tensors, name))
            continue;
        Stored t = {.name = "post_layernorm",
                    .theirs = "post_layernorm",
                    .file = m->path,
                    .n_dims = 1,
                    .shape = {m->vision->hidden},
                    .rows = constant_rows,
                    .at = i};
        snprintf(name, sizeof name, "%svision_model.post_layernorm.%s", before, ENDINGS[i]);
        TRY(out_add(l, name, type, &t));
    }
    return OK;
}

/* As the folder has it, but for what its weights do not hold: layers that no feature comes from, and SigLIP's head. */
static cJSON *vision_config(const Model *m)
{
    cJSON *config = json_copy(m->vision_config);
    const int64_t layers = folder_vision_layers(m);
    if (!cJSON_HasObjectItem(config, "model_type"))
        json_add_text(config, "model_type", m->vision->clip ? "clip_vision_model" : "siglip_vision_model");
    if (layers < m->vision->layers) {
        cJSON_DeleteItemFromObjectCaseSensitive(config, "num_hidden_layers");
        json_add_int(config, "num_hidden_layers", layers);
    }
    if (!m->vision->clip && !stored_find(&m->tensors, "vision_model.head.probe")) {
        cJSON_DeleteItemFromObjectCaseSensitive(config, "vision_use_head");
        cJSON_AddFalseToObject(config, "vision_use_head");
    }
    return config;
}

Status folder_write_vision(const Model *m, const char *folder, DType type, int64_t max_shard)
{
    static const char *const PREPARATION[] = {"preprocessor_config.json", "processor_config.json"};
    char path[PATH_MAX];
    OutList list = {0};
    const DType kept = type == N_DTYPES ? stored_find(&m->tensors, "vision_model.embeddings.patch_embedding.weight")->type : type;
    Status s = folder_add(&list, m, "vision_model.", 0, type);
    if (!s)
        s = folder_add_last_norm(&list, m, "", kept);
    if (!s)
        s = out_safetensors(&list, folder, "model", max_shard);
    out_free(&list);
    TRY(s);
    cJSON *config = vision_config(m);
    folder_tell_type(config, kept);
    TRY(json_save(file_join(path, folder, "config.json"), &config));
    for (int i = 0; i < 2; i++)
        TRY(folder_copy_file(m->cfg.model.vision.path, folder, PREPARATION[i]));
    return OK;
}
