/* checkpoint_files.c: the files inside a checkpoint (checkpoint_files.h). Called by checkpoint.c. */
#include "train/store/checkpoint_files.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/safetensors.h"
#include "kernels/base/utf8.h"
#include "train/models/parts.h"

/* ---------------------------------------------------------------- safetensors of registry tensors */

/* One tensor of a file: a parameter's present values, or bytes as a base file has them. */
typedef struct Piece {
    const Param *param;
    const StTensor *raw;
    int64_t n_elems;
} Piece;

static const char *file_name_of(const Param *q) { return q->file_name ? q->file_name : q->name; }

enum { PIECE_ELEMS = 1 << 18 }; /* a copy of a whole embedding would be the largest block of the run */

/* Flat buffers the CPU can read go to the file as they lie, but for weights that have another order in memory. */
static Status write_flat(StWriter *w, Params *p, const void *flat, DType type, const Param *q)
{
    size_t size = dtype_size(type), row = (size_t)param_row(q) * size, n = (size_t)q->t.n_elems * size;
    const char *from = (const char *)flat + (size_t)q->flat * size;
    if (p->backend->host_memory && !q->channels_last)
        return stwriter_write(w, from, n);
    const size_t fit = PIECE_ELEMS * size / (row ? row : 1), most = q->channels_last ? (fit ? fit : 1) * row : PIECE_ELEMS * size;
    void *host = mem_alloc(n < most ? n : most), *ordered = q->channels_last ? mem_alloc(n < most ? n : most) : NULL;
    Status s = host && (ordered || !q->channels_last) ? OK : fail(ERR_NOMEM, "%s: out of memory", q->name);
    for (size_t part; n && s == OK; from += part, n -= part) {
        part = n < most ? n : most;
        s = p->backend->download(p->backend, host, from, part);
        if (s == OK && ordered)
            params_to_file(q, ordered, host, (int64_t)(part / row), size);
        if (s == OK)
            s = stwriter_write(w, ordered ? ordered : host, part);
    }
    mem_free(host);
    mem_free(ordered);
    return s;
}

static Status write_piece(StWriter *w, Params *p, const Piece *piece)
{
    if (piece->raw) {
        TRY(stwriter_write(w, piece->raw->data, piece->raw->n_bytes));
        safetensors_release(piece->raw);
        return OK;
    }
    if (piece->param->trainable && p->master == F32)
        return write_flat(w, p, p->flat_master, F32, piece->param);
    float *host = mem_alloc((size_t)(piece->n_elems < PIECE_ELEMS ? piece->n_elems : PIECE_ELEMS) * sizeof *host);
    Status s = host ? OK : fail(ERR_NOMEM, "%s: out of memory", piece->param->name);
    for (int64_t at = 0, n; at < piece->n_elems && s == OK; at += n) {
        n = piece->n_elems - at < PIECE_ELEMS ? piece->n_elems - at : PIECE_ELEMS;
        s = params_get_range(p, piece->param, at, n, host);
        if (s == OK)
            s = stwriter_write(w, host, (size_t)n * sizeof *host);
    }
    mem_free(host);
    return s;
}

static Status write_pieces(const char *path, Params *p, const Piece *pieces, const StSpec *specs, int n)
{
    StWriter *w;
    TRY(stwriter_open(&w, path, specs, n));
    for (int i = 0; i < n; i++) {
        Status s = write_piece(w, p, &pieces[i]);
        if (s != OK) {
            stwriter_abandon(&w);
            return s;
        }
    }
    return stwriter_close(&w);
}

static StSpec spec_of_param(const char *name, const Param *q)
{
    StSpec spec = {.name = name, .type = F32, .n_dims = q->t.n_dims};
    memcpy(spec.shape, q->shape, sizeof q->shape);
    return spec;
}

static StSpec spec_of_raw(const StTensor *t)
{
    StSpec spec = {.name = t->name, .type = t->type, .n_dims = t->n_dims};
    memcpy(spec.shape, t->shape, sizeof t->shape);
    return spec;
}

/* Whether a tensor of a base folder goes into a complete copy unchanged: it is no weight of the model, and not the output projection
 * that a tied model would load instead of its embedding. */
static bool is_extra(const Params *p, const Part *part, const StTensor *t)
{
    for (int i = 0; i < p->n; i++)
        if (params_of(p->list[i], part->name) && !strcmp(file_name_of(p->list[i]), t->name))
            return false;
    return strcmp(t->name, "lm_head.weight") != 0;
}

/* Writes all weights of a part, and of `base` (may be NULL) what the model does not use. */
static Status write_part(const char *path, Params *p, const Part *part, const SafeTensors *base)
{
    int most = p->n + (base ? safetensors_count(base) : 0), n = 0;
    Piece *pieces = mem_alloc((size_t)most * sizeof *pieces);
    StSpec *specs = mem_alloc((size_t)most * sizeof *specs);
    Status s = pieces && specs ? OK : fail(ERR_NOMEM, "%s: out of memory", path);
    for (int i = 0; s == OK && i < p->n; i++) {
        const Param *q = p->list[i];
        if (!params_of(q, part->name))
            continue;
        pieces[n] = (Piece){.param = q, .n_elems = q->t.n_elems};
        specs[n++] = spec_of_param(file_name_of(q), q);
    }
    for (int i = 0; s == OK && base && i < safetensors_count(base); i++)
        if (is_extra(p, part, safetensors_at(base, i))) {
            pieces[n] = (Piece){.raw = safetensors_at(base, i)};
            specs[n++] = spec_of_raw(safetensors_at(base, i));
        }
    if (s == OK)
        s = write_pieces(path, p, pieces, specs, n);
    mem_free(pieces);
    mem_free(specs);
    return s;
}

/* ---------------------------------------------------------------- folders */

/* A copy of config.json that says what type the weights beside it have. */
static void copy_with_f32(cJSON *to, const Json *object)
{
    for (const Json *m = object->child; m; m = m->next)
        if (m->kind == JSON_STRING && (!strcmp(m->key, "torch_dtype") || !strcmp(m->key, "dtype")))
            cJSON_AddStringToObject(to, m->key, "float32");
        else if (m->kind == JSON_OBJECT)
            copy_with_f32(cJSON_AddObjectToObject(to, m->key), m);
        else
            json_add_value(to, m->key, m);
}

static Status copy_config(const char *base, const char *folder)
{
    char path[PATH_MAX];
    JsonDoc *doc;
    TRY(json_read_file(&doc, file_join(path, base, "config.json")));
    cJSON *o = cJSON_CreateObject();
    copy_with_f32(o, json_root(doc)); /* an object: the model was read from it */
    json_free(&doc);
    return json_save(file_join(path, folder, "config.json"), &o);
}

typedef struct Beside {
    const char *base, *folder;
} Beside;

/* Weights in whatever form, what lists them, and what is hidden stays; config.json has been written. */
static bool is_companion(const char *path, const char *name)
{
    static const char *const OTHERS[] = {".safetensors", ".bin",     ".pt",   ".pth",  ".h5",   ".msgpack",
                                         ".gguf",        ".onnx",    ".ot",   ".ckpt", ".part", ".index.json",
                                         ".lock",        ".npz"};
    enum { LARGEST = 64 << 20 };
    struct stat st;
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        if (utf8_ends(name, OTHERS[i]))
            return false;
    return *name != '.' && strcmp(name, "config.json") != 0 && !stat(path, &st) && S_ISREG(st.st_mode) && st.st_size <= LARGEST;
}

static Status copy_one(void *arg, const char *name)
{
    const Beside *b = arg;
    char from[PATH_MAX], to[PATH_MAX];
    return is_companion(file_join(from, b->base, name), name) ? file_copy(from, file_join(to, b->folder, name)) : OK;
}

/* Tokenizer, chat template, licence and whatever else makes the folder what the base was. */
static Status copy_beside(const char *base, const char *folder) { return file_list(base, copy_one, &(Beside){base, folder}); }

/* A fully trained part as a folder of its own, loadable in place of its base. */
static Status write_folder(const char *folder, Params *p, const Part *part, const RunConfig *cfg)
{
    char path[PATH_MAX], from[PATH_MAX], weights[PATH_MAX];
    const char *base = part_folder(part, cfg, from);
    SafeTensors *st = NULL;
    TRY(file_stage_folder(folder));
    TRY(copy_config(base, folder));
    TRY(copy_beside(base, folder));
    if (!part_drawn(part, cfg))
        TRY(safetensors_open_folder(&st, base, part_stem(part)));
    snprintf(weights, sizeof weights, "%s.safetensors", part_stem(part));
    Status s = write_part(file_join(path, folder, weights), p, part, st);
    safetensors_close(&st);
    return s;
}

static bool is_saved(const Part *part, const RunConfig *cfg)
{
    return part_wanted(part, cfg) && (part->form != PART_FOLDER || part_trained(part, cfg));
}

Status checkpoint_write_weights(const char *folder, GenLlava *model, const RunConfig *cfg)
{
    Params *p = genllava_params(model);
    for (const Part *part = PARTS; part < PARTS + N_PARTS; part++) {
        char path[PATH_MAX];
        if (!is_saved(part, cfg))
            continue;
        file_join(path, folder, part->saved);
        TRY(part->form == PART_FOLDER ? write_folder(path, p, part, cfg) : write_part(path, p, part, NULL));
        if (part->describe)
            TRY(part->describe(model, cfg, folder));
    }
    return OK;
}

int64_t checkpoint_bytes(GenLlava *model, const RunConfig *cfg)
{
    const Params *p = genllava_params(model);
    int64_t n = 2 * p->n_flat * (int64_t)dtype_size(p->moments);
    for (const Part *part = PARTS; part < PARTS + N_PARTS; part++)
        n += is_saved(part, cfg) ? genllava_count(model, part->name) * (int64_t)sizeof(float) : 0;
    return n;
}

static const char MOMENTS_FILE[] = "optimizer.safetensors", MOMENTS_INDEX[] = "optimizer.safetensors.index.json",
                  MOMENTS_STEM[] = "optimizer";

/* Those that safetensors_open_folder reads. */
static Status visit_moments(const char *folder, FileVisit visit, void *arg)
{
    char path[PATH_MAX];
    JsonDoc *doc;
    if (file_exists(file_join(path, folder, MOMENTS_FILE)) || !file_exists(file_join(path, folder, MOMENTS_INDEX)))
        return visit(arg, MOMENTS_FILE);
    TRY(visit(arg, MOMENTS_INDEX));
    TRY(json_read_file(&doc, path));
    const Json *map = json_get(json_root(doc), "weight_map");
    const char *last = "";
    Status s = OK;
    for (const Json *m = map && map->kind == JSON_OBJECT ? map->child : NULL; m && s == OK; m = m->next)
        if (m->kind == JSON_STRING && strcmp(m->string, last) != 0) {
            last = m->string;
            s = visit(arg, last);
        }
    json_free(&doc);
    return s;
}

/* Each file that a checkpoint of these settings must have. */
Status checkpoint_each_file(const char *folder, const RunConfig *cfg, FileVisit visit, void *arg)
{
    char name[PATH_MAX];
    TRY(visit_moments(folder, visit, arg));
    for (const Part *part = PARTS; part < PARTS + N_PARTS; part++) {
        if (!is_saved(part, cfg))
            continue;
        snprintf(name, sizeof name, "%s/%s.safetensors", part->saved, part_stem(part));
        TRY(visit(arg, part->form == PART_FOLDER ? name : part->saved));
        if (part->form == PART_FOLDER && !part->described)
            TRY(visit(arg, file_join(name, part->saved, "config.json")));
        if (part->described)
            TRY(visit(arg, part->described));
    }
    return OK;
}

/* ---------------------------------------------------------------- moments */

static const char *const MOMENTS[] = {"exp_avg", "exp_avg_sq"}; /* as PyTorch's AdamW calls them */

static char *moment_name(char buf[512], int k, const Param *q)
{
    snprintf(buf, 512, "%s/%s", k < 2 ? MOMENTS[k] : "updates", q->name);
    return buf;
}

/* k 0, 1: a moment; 2: the tensor's own count of updates. */
static Status write_moment(StWriter *w, Params *p, const Param *q, int k)
{
    if (k == 2)
        return stwriter_write(w, &q->updates, sizeof q->updates);
    return write_flat(w, p, k ? p->flat_v : p->flat_m, p->moments, q);
}

static void name_moments(char name[MOMENTS_NAME], int rank, int n_ranks)
{
    if (n_ranks == 1)
        snprintf(name, MOMENTS_NAME, "%s", MOMENTS_FILE);
    else
        snprintf(name, MOMENTS_NAME, "%s-%05d-of-%05d.safetensors", MOMENTS_STEM, rank + 1, n_ranks);
}

/* The rank that saves a tensor's moments: by its middle, so that all save about the same. */
static int saver_of(const Params *p, const Param *q, int n_ranks) { return (int)((q->flat + q->t.n_elems / 2) * n_ranks / p->n_flat); }

static bool saves(const Params *p, int i, int rank, int n_ranks)
{
    return p->list[i]->trainable && saver_of(p, p->list[i], n_ranks) == rank;
}

Status checkpoint_write_index(const char *folder, const Params *p, int n_ranks)
{
    char path[PATH_MAX], name[512], file[MOMENTS_NAME];
    cJSON *o = cJSON_CreateObject(), *map;
    int64_t bytes = 0;
    for (int i = 0; i < p->n; i++)
        if (p->list[i]->trainable)
            bytes += 2 * p->list[i]->t.n_elems * (int64_t)dtype_size(p->moments) + (int64_t)sizeof p->list[i]->updates;
    json_add_int(cJSON_AddObjectToObject(o, "metadata"), "total_size", bytes);
    map = cJSON_AddObjectToObject(o, "weight_map");
    for (int i = 0; i < p->n; i++)
        for (int k = 0; k < 3 && p->list[i]->trainable; k++) {
            name_moments(file, saver_of(p, p->list[i], n_ranks), n_ranks);
            cJSON_AddStringToObject(map, moment_name(name, k, p->list[i]), file);
        }
    return json_save(file_join(path, folder, MOMENTS_INDEX), &o);
}

Status checkpoint_write_moments(const char *folder, Params *p, int rank, int n_ranks, char name[MOMENTS_NAME])
{
    char path[PATH_MAX];
    int n = 0, saved = 0;
    name_moments(name, rank, n_ranks);
    for (int i = 0; i < p->n; i++)
        saved += saves(p, i, rank, n_ranks);
    StSpec *specs = mem_alloc((size_t)saved * 3 * sizeof *specs);
    char(*names)[512] = mem_alloc((size_t)saved * 3 * sizeof *names);
    StWriter *w = NULL;
    Status s = specs && names ? OK : fail(ERR_NOMEM, "%s: out of memory", name);
    for (int i = 0; s == OK && i < p->n; i++)
        for (int k = 0; k < 3 && saves(p, i, rank, n_ranks); k++, n++) {
            specs[n] = spec_of_param(moment_name(names[n], k, p->list[i]), p->list[i]);
            specs[n].type = k == 2 ? I64 : p->moments;
            specs[n].n_dims = k == 2 ? 0 : specs[n].n_dims;
        }
    if (s == OK)
        s = stwriter_open(&w, file_join(path, folder, name), specs, n);
    for (int i = 0; s == OK && i < p->n; i++)
        for (int k = 0; s == OK && k < 3 && saves(p, i, rank, n_ranks); k++)
            s = write_moment(w, p, p->list[i], k);
    mem_free(specs);
    mem_free(names);
    if (s == OK)
        return stwriter_close(&w);
    if (w)
        stwriter_abandon(&w);
    return s;
}

/* A whole moment from a file's values; f32 becomes bf16 by rounding to nearest. */
static Status set_moment(Params *p, const Param *q, void *flat, const void *values, DType type)
{
    const size_t n = (size_t)q->t.n_elems, size = dtype_size(p->moments);
    const bool converted = type != p->moments;
    void *typed = converted ? mem_alloc(n * size) : NULL, *ordered = q->channels_last ? mem_alloc(n * size) : NULL;
    Status s = (typed || !converted) && (ordered || !q->channels_last) ? OK : fail(ERR_NOMEM, "%s: out of memory", q->name);
    if (s == OK && converted)
        dtype_convert(typed, p->moments, values, type, n);
    if (s == OK && ordered)
        params_to_memory(q, ordered, typed ? typed : values, q->shape[0], size);
    if (s == OK)
        s = p->backend->upload(p->backend, (char *)flat + (size_t)q->flat * size, ordered ? ordered : typed ? typed : values, n * size);
    mem_free(typed);
    mem_free(ordered);
    return s;
}

static Status read_moment(const SafeTensors *st, const char *folder, Params *p, Param *q, int k, bool change)
{
    char name[512];
    const StTensor *t = safetensors_find(st, moment_name(name, k, q));
    if (!t && change)
        return OK;
    const DType type = k == 2 ? I64 : p->moments;
    const bool converted = t && t->type != type && k < 2 && change && (t->type == F32 || t->type == BF16);
    if (!t || (t->type != type && !converted) || t->n_bytes != dtype_size(t->type) * (size_t)(k == 2 ? 1 : q->t.n_elems))
        return fail(ERR_DATA, "%s: %s is %s", t ? t->file : folder, name, t ? "of another type or size than the run's tensor" : "missing");
    if (k == 2) {
        memcpy(&q->updates, t->data, sizeof q->updates);
        return OK;
    }
    Status s = set_moment(p, q, k ? p->flat_v : p->flat_m, t->data, t->type);
    safetensors_release(t);
    return s;
}

Status checkpoint_read_moments(const char *folder, Params *p, bool change)
{
    SafeTensors *st;
    TRY(safetensors_open_folder(&st, folder, MOMENTS_STEM));
    Status s = OK;
    for (int i = 0; s == OK && i < p->n; i++)
        for (int k = 0; s == OK && k < 3 && p->list[i]->trainable; k++)
            s = read_moment(st, folder, p, p->list[i], k, change);
    safetensors_close(&st);
    return s;
}

Status checkpoint_check_shapes(const char *folder, GenLlava *model)
{
    enum { TOLD = 8 };
    const Params *p = genllava_params(model);
    char name[512], was[128], is[128], lines[TOLD * 700] = "";
    int differ = 0;
    size_t n = 0;
    SafeTensors *st;
    TRY(safetensors_open_folder(&st, folder, MOMENTS_STEM));
    for (int i = 0; i < p->n; i++) {
        const Param *q = p->list[i];
        const StTensor *t = q->trainable ? safetensors_find(st, moment_name(name, 0, q)) : NULL;
        if (!t || (t->n_dims == q->t.n_dims && !memcmp(t->shape, q->shape, (size_t)t->n_dims * sizeof *t->shape)))
            continue;
        if (differ++ < (int)TOLD && n < sizeof lines)
            n += (size_t)snprintf(lines + n, sizeof lines - n, "%s%s: %s there, %s here", n ? "\n" : "", q->name,
                                  shape_text(was, sizeof was, t->shape, t->n_dims), shape_text(is, sizeof is, q->shape, q->t.n_dims));
    }
    safetensors_close(&st);
    if (!differ)
        return OK;
    char more[32] = "";
    if (differ > (int)TOLD)
        snprintf(more, sizeof more, "\nand %d more", differ - (int)TOLD);
    return fail(ERR_USAGE, "%s: %d of its tensors would change their shape, which --change cannot do:\n%s%s", folder, differ, lines, more);
}
