/* inspect_weights.c: pages of inspect about safetensors files, model folders and diffusers models (inspect.h). */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/utf8.h"
#include "tools/inspect/inspect.h"

typedef struct Totals {
    int64_t tensors, elements, bytes, by_type[N_DTYPES];
} Totals;

static Totals add_up(const SafeTensors *st)
{
    Totals t = {.tensors = safetensors_count(st)};
    for (int i = 0; i < safetensors_count(st); i++) {
        const StTensor *x = safetensors_at(st, i);
        t.elements += x->n_elems;
        t.bytes += (int64_t)x->n_bytes;
        t.by_type[x->type] += x->n_elems;
    }
    return t;
}

static void add_totals(cJSON *j, const Totals *t)
{
    json_add_int(j, "count", t->tensors);
    json_add_int(j, "elements", t->elements);
    json_add_int(j, "bytes", t->bytes);
}

static void print_totals(FILE *out, const Totals *t)
{
    char a[32], size[32];
    fprintf(out, "%" PRId64 " tensors, %s elements, %s", t->tensors, inspect_count(a, t->elements),
            file_size_text(size, sizeof size, (size_t)t->bytes));
    const char *before = " (";
    for (int d = 0; d < N_DTYPES; d++)
        if (t->by_type[d]) {
            fprintf(out, "%s%s %s", before, inspect_count(a, t->by_type[d]), dtype_name((DType)d));
            before = ", ";
        }
    fprintf(out, "%s\n", t->elements ? ")" : "");
}

static Status as_json(const InspectOptions *o, const SafeTensors *st, const Totals *t)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "kind", "safetensors");
    cJSON_AddStringToObject(j, "path", o->path);
    add_totals(j, t);
    cJSON *tensors = cJSON_AddArrayToObject(j, "tensors");
    for (int i = 0; i < safetensors_count(st); i++) {
        const StTensor *x = safetensors_at(st, i);
        cJSON *tensor = json_add(tensors, NULL, cJSON_CreateObject());
        cJSON_AddStringToObject(tensor, "name", x->name);
        cJSON_AddStringToObject(tensor, "dtype", dtype_name(x->type));
        cJSON *shape = cJSON_AddArrayToObject(tensor, "shape");
        for (int d = 0; d < x->n_dims; d++)
            json_add_int(shape, NULL, x->shape[d]);
        json_add_int(tensor, "bytes", (int64_t)x->n_bytes);
        cJSON_AddStringToObject(tensor, "file", x->file);
    }
    return json_print(o->out, &j, JSON_PRETTY, o->path);
}

static Status as_text(const InspectOptions *o, const SafeTensors *st, const Totals *t)
{
    char shape[128];
    int widest = 4; /* of the names of an ordinary length */
    for (int i = 0; i < safetensors_count(st); i++) {
        int n = utf8_columns(safetensors_at(st, i)->name, strlen(safetensors_at(st, i)->name));
        widest = n > widest && n <= 200 ? n : widest;
    }
    for (int i = 0; i < safetensors_count(st); i++) {
        const StTensor *x = safetensors_at(st, i);
        utf8_cell(o->out, x->name, widest);
        fprintf(o->out, "  %-4s  %s\n", dtype_name(x->type), shape_text(shape, sizeof shape, x->shape, x->n_dims));
    }
    utf8_cell(o->out, o->path, 0);
    fputs(": ", o->out);
    print_totals(o->out, t);
    return OK;
}

Status inspect_weights(const InspectOptions *o, const char *stem)
{
    SafeTensors *st;
    TRY(stem ? safetensors_open_folder(&st, o->path, stem) : safetensors_open(&st, o->path));
    Totals t = add_up(st);
    Status s = o->json ? as_json(o, st, &t) : as_text(o, st, &t);
    safetensors_close(&st);
    return s;
}

/* ---------------------------------------------------------------- the parts of a diffusers model */

const char *inspect_stem(const char *folder)
{
    return safetensors_check_folder(folder, "model") == OK ? "model" : "diffusion_pytorch_model";
}

typedef struct PartList {
    const InspectOptions *o;
    cJSON *json; /* NULL: text */
    int n;
} PartList;

/* A folder without weights, or what is no folder, is passed over. */
static Status show_part(void *list, const char *name)
{
    PartList *l = list;
    char folder[PATH_MAX];
    const char *stem = inspect_stem(file_join(folder, l->o->path, name));
    SafeTensors *st;
    if (safetensors_check_folder(folder, stem))
        return OK;
    TRY(safetensors_open_folder(&st, folder, stem));
    Totals t = add_up(st);
    safetensors_close(&st);
    l->n++;
    if (l->json) {
        cJSON *part = json_add(l->json, NULL, cJSON_CreateObject());
        cJSON_AddStringToObject(part, "name", name);
        add_totals(part, &t);
        return OK;
    }
    utf8_cell(l->o->out, name, 16);
    fputs("  ", l->o->out);
    print_totals(l->o->out, &t);
    return OK;
}

Status inspect_diffusers(const InspectOptions *o)
{
    cJSON *j = o->json ? cJSON_CreateObject() : NULL;
    PartList list = {.o = o};
    if (j) {
        cJSON_AddStringToObject(j, "kind", "diffusers");
        cJSON_AddStringToObject(j, "path", o->path);
        list.json = cJSON_AddArrayToObject(j, "parts");
    }
    Status s = file_list(o->path, show_part, &list);
    if (s) {
        cJSON_Delete(j);
        return s;
    }
    if (j)
        return json_print(o->out, &j, JSON_PRETTY, o->path);
    utf8_cell(o->out, o->path, 0);
    fprintf(o->out, ": diffusers model, %d part%s with weights; inspect a part's folder for its tensors\n", list.n, list.n == 1 ? "" : "s");
    return OK;
}
