/* inspect_weights.c: pages of inspect about safetensors files and model folders (inspect.h). */
#include <inttypes.h>
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

static Status as_json(const InspectOptions *o, const SafeTensors *st, const Totals *t)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "kind", "safetensors");
    cJSON_AddStringToObject(j, "path", o->path);
    json_add_int(j, "count", t->tensors);
    json_add_int(j, "elements", t->elements);
    json_add_int(j, "bytes", t->bytes);
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
    char shape[128], a[32], size[32];
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
    fprintf(o->out, ": %" PRId64 " tensors, %s elements, %s", t->tensors, inspect_count(a, t->elements),
            file_size_text(size, sizeof size, (size_t)t->bytes));
    const char *before = " (";
    for (int d = 0; d < N_DTYPES; d++)
        if (t->by_type[d]) {
            fprintf(o->out, "%s%s %s", before, inspect_count(a, t->by_type[d]), dtype_name((DType)d));
            before = ", ";
        }
    fprintf(o->out, "%s\n", t->elements ? ")" : "");
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
