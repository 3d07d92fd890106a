/* weights.c: fills parameters from safetensors (weights.h). Called by the models. */
#include "train/models/weights.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "kernels/base/log.h"
#include "train/models/bnb.h"

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
static void folder_name(char *out, size_t n, const SafeTensors *st, const char *folder, const char *stem)
{
    const char *file = safetensors_count(st) ? safetensors_at(st, 0)->file : folder;
    for (int i = 1; i < safetensors_count(st); i++) {
        if (strcmp(safetensors_at(st, i)->file, file)) {
            snprintf(out, n, "%s/%s.safetensors.index.json", folder, stem);
            return;
        }
    }
    snprintf(out, n, "%s", file);
}

Status weights_open_folder(Weights *w, const char *folder, const char *stem)
{
    char name[PATH_MAX];
    *w = (Weights){.in_place = true};
    TRY(safetensors_open_folder(&w->st, folder, stem));
    folder_name(name, sizeof name, w->st, folder, stem);
    return opened(w, name, OK);
}

void weights_close(Weights *w)
{
    safetensors_close(&w->st);
    mem_free(w->path);
    mem_free(w->used);
    *w = (Weights){0};
}

/* A matrix and a convolution of 1x1 are the same: files of one model have either. */
static bool same_shape(const StTensor *a, const Param *b)
{
    int least = a->n_dims < b->t.n_dims ? a->n_dims : b->t.n_dims, most = a->n_dims + b->t.n_dims - least;
    for (int i = 0; i < least; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    for (int i = least; i < most; i++)
        if (least < 2 || (a->n_dims > least ? a->shape[i] : b->shape[i]) != 1)
            return false;
    return true;
}

static bool is_wider(const Weights *w, const StTensor *a, const Param *b)
{
    return w->widened && !strcmp(b->name, w->widened) && a->n_dims == 4 && a->shape[0] == b->shape[0] && 2 * a->shape[1] == b->shape[1] &&
           a->shape[2] == b->shape[2] && a->shape[3] == b->shape[3];
}

/* Each output has the file's weights of its first input channels, and zeros for the others. */
static Status load_wider(Params *p, Param *q, const StTensor *found)
{
    size_t size = dtype_size(found->type), out = (size_t)q->shape[0];
    size_t ours = (size_t)q->t.n_elems / out * size, theirs = (size_t)found->n_elems / out * size;
    char *all = mem_alloc(out * ours);
    if (!all)
        return fail(ERR_NOMEM, "%s: out of memory", q->name);
    for (size_t i = 0; i < out; i++)
        memcpy(all + i * ours, (const char *)found->data + i * theirs, theirs);
    Status s = params_set(p, q, all, found->type);
    mem_free(all);
    return s;
}

static bool is_float(DType t) { return t == F32 || t == BF16 || t == F16 || t == F64; }

static Status load(Weights *w, Params *p, Param *q, const char *name)
{
    char theirs[128], ours[128];
    shape_text(ours, sizeof ours, q->shape, q->t.n_dims);
    const StTensor *found = safetensors_find(w->st, name);
    if (!found)
        return fail(ERR_DATA, "%s: no tensor %s in it; the model has one of shape %s", w->path, name, ours);
    w->used[found - safetensors_at(w->st, 0)] = true;
    if (q->coded.format && q->group.coded_in_file) {
        if (!is_float(found->type)) {
            TRY(bnb_load(w->st, w->used, p, q, found));
            safetensors_release(found);
            return OK;
        }
        q->coded.format = CODES_NONE; /* left out when the others were quantised */
    }
    bool wider = is_wider(w, found, q);
    if (!wider && !same_shape(found, q))
        return fail(ERR_DATA, "%s: %s: shape is %s in the file, %s in the model", found->file, found->name,
                    shape_text(theirs, sizeof theirs, found->shape, found->n_dims), ours);
    if (!is_float(found->type))
        return fail(ERR_DATA, "%s: %s: holds %s, expected F32, BF16, F16 or F64", found->file, found->name, dtype_name(found->type));
    if (wider)
        return load_wider(p, q, found);
    /* Vectors are copied: with one that stays in the file come pages of what lies around it, and that may have become codes. */
    const bool stays = w->in_place && q->t.n_dims > 1;
    TRY(stays ? params_place(p, q, found->data, found->type) : params_set(p, q, found->data, found->type));
    if (!q->mapped)
        safetensors_release(found);
    return OK;
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

/* Where a name's first number ends: "model.layers.3." of "model.layers.3.mlp.up_proj.weight"; 0: it has none. */
static size_t layer_length(const char *name)
{
    for (const char *at = strchr(name, '.'); at; at = strchr(at + 1, '.')) {
        size_t digits = strspn(at + 1, "0123456789");
        if (digits && at[1 + digits] == '.')
            return (size_t)(at - name) + digits + 2;
    }
    return 0;
}

/* Whether the part has the layer that a tensor belongs to: then it is none of those that are not executed. */
static bool of_a_known_layer(const Params *p, const char *part, const FileNames *names, const char *theirs)
{
    char ours[WEIGHT_NAME_MAX];
    size_t n = name_to_ours(ours, names->spelling, theirs) ? layer_length(ours) : 0;
    for (int i = 0; n && i < p->n; i++)
        if (params_of(p->list[i], part) && !strncmp(p->list[i]->name, ours, n))
            return true;
    return false;
}

static bool left_out(const Params *p, const char *part, const FileNames *names, const char *theirs)
{
    const char *why = names_quiet(names, theirs);
    return why && (*why == '*' || !of_a_known_layer(p, part, names, theirs));
}

/* What nobody reads means a model that computes something else. */
static Status report_unused(const Weights *w, const Params *p, const char *part, const FileNames *names)
{
    char list[1024] = "", more[32] = "";
    int unused = 0;
    size_t at = 0;
    for (int i = 0; i < safetensors_count(w->st); i++) {
        const char *name = safetensors_at(w->st, i)->name;
        if (w->used[i] || left_out(p, part, names, name))
            continue;
        if (unused++ < LISTED_MAX && at < sizeof list)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%.100s", at ? ", " : "", name);
    }
    if (!unused)
        return OK;
    if (unused > LISTED_MAX)
        snprintf(more, sizeof more, " and %d more", unused - LISTED_MAX);
    const char *are = unused == 1 ? " is" : "s are", *stay = unused == 1 ? "s" : "";
    if (!w->among_others)
        return fail(ERR_DATA, "%s: %d tensor%s no part of this model, and nothing would read %s: %s%s", w->path, unused, are,
                    unused == 1 ? "it" : "them", list, more);
    log_warn("%s: %d tensor%s not part of the model and stay%s unread: %s%s", w->path, unused, are, stay, list, more);
    return OK;
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
    if (params_measuring(p))
        return OK;
    safetensors_release_all(w->st);
    return report_unused(w, p, part, &in_file);
}
