/* weights.c: fills parameters from safetensors (weights.h). Called by the models. */
#include "train/models/weights.h"

#include <limits.h>
#include <stdio.h>

#include "kernels/base/log.h"

enum { LISTED_MAX = 8 };

static Status opened(Weights *w, const char *path, Status s)
{
    if (s)
        return s;
    w->path = mem_strdup(path);
    w->used = mem_alloc((size_t)safetensors_count(w->st) * sizeof *w->used);
    if (w->path && w->used)
        return OK;
    weights_close(w);
    return fail(ERR_NOMEM, "%s: no memory to read it", path);
}

Status weights_open(Weights *w, const char *file)
{
    *w = (Weights){0};
    return opened(w, file, safetensors_open(&w->st, file));
}

/* What messages call the weights of a folder: its file, or the index of several. */
static void folder_name(char *out, size_t n, const SafeTensors *st, const char *folder)
{
    const char *file = safetensors_count(st) ? safetensors_at(st, 0)->file : folder;
    for (int i = 1; i < safetensors_count(st); i++) {
        if (strcmp(safetensors_at(st, i)->file, file)) {
            snprintf(out, n, "%s/model.safetensors.index.json", folder);
            return;
        }
    }
    snprintf(out, n, "%s", file);
}

Status weights_open_folder(Weights *w, const char *folder)
{
    char name[PATH_MAX];
    *w = (Weights){.in_place = true};
    TRY(safetensors_open_folder(&w->st, folder, "model"));
    folder_name(name, sizeof name, w->st, folder);
    return opened(w, name, OK);
}

void weights_close(Weights *w)
{
    safetensors_close(&w->st);
    mem_free(w->path);
    mem_free(w->used);
    *w = (Weights){0};
}

static bool same_shape(const StTensor *a, const Tensor *b)
{
    if (a->n_dims != b->n_dims)
        return false;
    for (int i = 0; i < a->n_dims; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

static Status load(Weights *w, Params *p, Param *q, const char *name)
{
    char theirs[128], ours[128];
    shape_text(ours, sizeof ours, q->t.shape, q->t.n_dims);
    const StTensor *found = safetensors_find(w->st, name);
    if (!found)
        return fail(ERR_DATA, "%s: no tensor %s in it; the model has one of shape %s", w->path, name, ours);
    w->used[found - safetensors_at(w->st, 0)] = true;
    if (!same_shape(found, &q->t))
        return fail(ERR_DATA, "%s: %s: shape is %s in the file, %s in the model", found->file, found->name,
                    shape_text(theirs, sizeof theirs, found->shape, found->n_dims), ours);
    if (found->type != F32 && found->type != BF16 && found->type != F16 && found->type != F64)
        return fail(ERR_DATA, "%s: %s: holds %s, expected F32, BF16, F16 or F64", found->file, found->name, dtype_name(found->type));
    return w->in_place ? params_place(p, q, found->data, found->type) : params_set(p, q, found->data, found->type);
}

/* A complete copy of the folder spells the weight as the folder does, else what lay there under that name would stand beside it. */
static Status remember_name(Param *q, const char *name)
{
    mem_free(q->file_name);
    q->file_name = NULL;
    if (strcmp(name, q->name) && !(q->file_name = mem_strdup(name)))
        return fail(ERR_NOMEM, "%s: out of memory", q->name);
    return OK;
}

static void report_unused(const Weights *w, const FileNames *names)
{
    char list[1024] = "";
    int unused = 0;
    size_t at = 0;
    for (int i = 0; i < safetensors_count(w->st); i++) {
        const char *name = safetensors_at(w->st, i)->name;
        if (w->used[i] || names_quiet(names, name))
            continue;
        if (unused++ < LISTED_MAX && at < sizeof list)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%.100s", at ? ", " : "", name);
    }
    if (unused > LISTED_MAX)
        log_warn("%s: %d tensors are not part of the model and stay unread: %s and %d more", w->path, unused, list, unused - LISTED_MAX);
    else if (unused)
        log_warn("%s: %d tensor%s not part of the model and stay%s unread: %s", w->path, unused, unused == 1 ? " is" : "s are",
                 unused == 1 ? "s" : "", list);
}

Status weights_load_part(Weights *w, Params *p, const char *part, const NameTable *names)
{
    FileNames in_file = {0};
    bool known = false;
    for (int i = 0; i < p->n; i++) {
        Param *q = p->list[i];
        char name[WEIGHT_NAME_MAX];
        if (!params_of(q, part))
            continue;
        if (!known)
            in_file = names_find(names, w->st, q->name);
        known = true;
        TRY(load(w, p, q, names_in_file(name, &in_file, q->name)));
        if (w->in_place)
            TRY(remember_name(q, name));
    }
    if (!params_measuring(p))
        report_unused(w, &in_file);
    return OK;
}
