/* drawing.c: copies what draws pictures (drawing.h). */
#include "tools/convert/drawing.h"

#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "kernels/base/arena.h"
#include "tools/convert/folders.h"
#include "train/models/parts.h"

#define STEM "diffusion_pytorch_model"

static bool in_checkpoint(const Model *m, char path[PATH_MAX], const char *name)
{
    return *m->checkpoint && file_exists(file_join(path, m->checkpoint, name));
}

bool drawing_trained_unet(const Model *m)
{
    char path[PATH_MAX];
    return in_checkpoint(m, path, "unet") || in_checkpoint(m, path, "unet_conv_in.safetensors");
}

/* ---------------------------------------------------------------- the UNet */

static bool its_own(void *arg, char ours[WEIGHT_NAME_MAX], const char *theirs)
{
    const char *but = arg;
    snprintf(ours, WEIGHT_NAME_MAX, "%s", theirs);
    return !but || strncmp(theirs, but, strlen(but)) != 0;
}

/* The weights of the base with the trained convolution in place of theirs. */
static Status write_joined(const Model *m, const char *base, const char *conv, const char *folder)
{
    static char CONV_IN[] = "conv_in.";
    (void)m;
    StoredSet set = {0};
    OutList list = {0};
    SafeTensors *st;
    Status s = safetensors_open_folder(&st, base, STEM);
    if (!s)
        s = stored_add_safetensors(&set, st, its_own, CONV_IN);
    if (!s)
        s = safetensors_open(&st, conv);
    if (!s)
        s = stored_add_safetensors(&set, st, its_own, NULL);
    if (!s)
        s = stored_sort(&set);
    for (int i = 0; i < set.n && !s; i++)
        s = out_add(&list, set.list[i].name, set.list[i].type, &set.list[i]);
    if (!s)
        s = out_safetensors(&list, folder, STEM, INT64_MAX);
    out_free(&list);
    stored_free(&set);
    return s;
}

/* config.json of the base, with the input channels that the convolution has now. */
static Status write_config(const Model *m, const char *base, const char *folder)
{
    char path[PATH_MAX];
    JsonDoc *doc;
    if (m->cfg.model.diffusion.edit != EDIT_TRAIN_CONV_IN)
        return folder_copy_file(base, folder, "config.json");
    TRY(json_read_file(&doc, file_join(path, base, "config.json")));
    const Json *channels = json_get(json_root(doc), "in_channels");
    const int64_t n = channels && channels->kind == JSON_INT ? channels->integer : 4;
    cJSON *config = json_copy(json_root(doc));
    json_free(&doc);
    cJSON_DeleteItemFromObjectCaseSensitive(config, "in_channels");
    json_add_int(config, "in_channels", 2 * n);
    return json_save(file_join(path, folder, "config.json"), &config);
}

static Status write_unet(const Model *m, const char *folder)
{
    char trained[PATH_MAX], base[PATH_MAX];
    if (in_checkpoint(m, trained, "unet"))
        return folder_copy(trained, folder, NULL);
    file_join(base, m->cfg.model.diffusion.path, "unet");
    if (!in_checkpoint(m, trained, "unet_conv_in.safetensors"))
        return file_exists(base) ? folder_copy(base, folder, NULL) : OK; /* states are compared: there need not be one */
    TRY(write_config(m, base, folder));
    return write_joined(m, base, trained, folder);
}

/* ---------------------------------------------------------------- all of it */

/* Whatever its file is called where it comes from. */
static Status write_head(const Model *m, const char *folder)
{
    static const char HEAD[] = "gen_head.safetensors";
    char from[PATH_MAX], to[PATH_MAX];
    const Part *part = part_find("gen_head");
    const char *file = in_checkpoint(m, from, HEAD) ? from : part_source(from, part, &m->cfg, NULL);
    if (!file)
        return fail(ERR_MISSING,
                    "%s: there is no file with the weights of %s: a run would draw them at random; convert takes what has been trained",
                    m->path, part->title);
    TRY(file_copy(file, file_join(to, folder, HEAD)));
    return folder_copy_file(file_folder(to, file), folder, "gen_head_config.json");
}

Status drawing_write(const Model *m, const char *folder, bool base)
{
    static const char *const UNET[] = {"unet", NULL};
    char diffusion[PATH_MAX], unet[PATH_MAX];
    if (!m->cfg.model.diffusion.path)
        return OK;
    TRY(write_head(m, folder));
    if (!base && !drawing_trained_unet(m))
        return OK;
    snprintf(diffusion, sizeof diffusion, "%s", folder);
    if (base) {
        TRY(folder_make(diffusion, folder, "diffusion"));
        TRY(folder_copy(m->cfg.model.diffusion.path, diffusion, UNET));
    }
    TRY(folder_make(unet, diffusion, "unet"));
    return write_unet(m, unet);
}
