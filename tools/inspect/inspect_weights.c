/* inspect_weights.c: pages of inspect about files of weights, model folders and diffusers models (inspect.h). */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/torch_bin.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "tools/inspect/inspect.h"

/* The types of tensors: those of DType, then what only GGUF files have. */
enum { TYPE_Q8_0 = N_DTYPES, N_TYPES };
static const char *type_name(int type) { return type == TYPE_Q8_0 ? gguf_type_name(GGUF_Q8_0) : dtype_name((DType)type); }

/* A tensor of any kind of file. */
typedef struct Shown {
    const char *name, *file;
    int type, n_dims;
    const int64_t *shape;
    int64_t n_elems;
    size_t n_bytes;
} Shown;

typedef struct Totals {
    int64_t tensors, elements, bytes, by_type[N_TYPES];
} Totals;

static void count_tensor(Totals *t, Shown x)
{
    t->tensors++;
    t->elements += x.n_elems;
    t->bytes += (int64_t)x.n_bytes;
    t->by_type[x.type] += x.n_elems;
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
    for (int d = 0; d < N_TYPES; d++)
        if (t->by_type[d]) {
            fprintf(out, "%s%s %s", before, inspect_count(a, t->by_type[d]), type_name(d));
            before = ", ";
        }
    fprintf(out, "%s\n", t->elements ? ")" : "");
}

static void add_tensors(cJSON *tensors, const Shown *x, int n)
{
    for (int i = 0; i < n; i++) {
        cJSON *tensor = json_add(tensors, NULL, cJSON_CreateObject());
        json_add_text(tensor, "name", x[i].name);
        cJSON_AddStringToObject(tensor, "dtype", type_name(x[i].type));
        cJSON *shape = cJSON_AddArrayToObject(tensor, "shape");
        for (int d = 0; d < x[i].n_dims; d++)
            json_add_int(shape, NULL, x[i].shape[d]);
        json_add_int(tensor, "bytes", (int64_t)x[i].n_bytes);
        cJSON_AddStringToObject(tensor, "file", x[i].file);
    }
}

static void print_tensors(FILE *out, const Shown *x, int n)
{
    char shape[128];
    int widest = 4; /* of the names of an ordinary length */
    for (int i = 0; i < n; i++) {
        int columns = utf8_columns(x[i].name, strlen(x[i].name));
        widest = columns > widest && columns <= 200 ? columns : widest;
    }
    for (int i = 0; i < n; i++) {
        utf8_cell(out, x[i].name, widest);
        fprintf(out, "  %-4s  %s\n", type_name(x[i].type), shape_text(shape, sizeof shape, x[i].shape, x[i].n_dims));
    }
}

/* ---------------------------------------------------------------- one file or folder */

static Status show(const InspectOptions *o, const char *kind, const Shown *x, int n, const Gguf *g)
{
    Totals t = {0};
    for (int i = 0; i < n; i++)
        count_tensor(&t, x[i]);
    if (o->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "kind", kind);
        cJSON_AddStringToObject(j, "path", o->path);
        add_totals(j, &t);
        Status s = g ? inspect_add_metadata(cJSON_AddObjectToObject(j, "metadata"), g) : OK;
        add_tensors(cJSON_AddArrayToObject(j, "tensors"), x, n);
        if (s) {
            cJSON_Delete(j);
            return s;
        }
        return json_print(o->out, &j, JSON_PRETTY, o->path);
    }
    if (g)
        TRY(inspect_print_metadata(o->out, g, o->path));
    print_tensors(o->out, x, n);
    utf8_cell(o->out, o->path, 0);
    fputs(": ", o->out);
    print_totals(o->out, &t);
    return OK;
}

static Status list(Shown **out, const InspectOptions *o, int n)
{
    *out = mem_alloc((size_t)n * sizeof **out);
    return *out ? OK : fail(ERR_NOMEM, "%s: no memory for a list of %d tensors", o->path, n);
}

static Shown shown(const StTensor *t)
{
    return (Shown){.name = t->name, .file = t->file, .type = t->type, .n_dims = t->n_dims, .shape = t->shape, .n_elems = t->n_elems,
                   .n_bytes = t->n_bytes};
}

static Status show_safetensors(const InspectOptions *o, const SafeTensors *st)
{
    Shown *x;
    TRY(list(&x, o, safetensors_count(st)));
    for (int i = 0; i < safetensors_count(st); i++)
        x[i] = shown(safetensors_at(st, i));
    Status s = show(o, "safetensors", x, safetensors_count(st), NULL);
    mem_free(x);
    return s;
}

static Status show_torch(const InspectOptions *o, const TorchBin *b)
{
    Shown *x;
    TRY(list(&x, o, torch_bin_count(b)));
    for (int i = 0; i < torch_bin_count(b); i++)
        x[i] = shown(torch_bin_at(b, i));
    Status s = show(o, "torch", x, torch_bin_count(b), NULL);
    mem_free(x);
    return s;
}

static int type_of(GgufType t)
{
    switch (t) {
    case GGUF_F32: return F32;
    case GGUF_F16: return F16;
    case GGUF_BF16: return BF16;
    case GGUF_Q8_0: break;
    }
    return TYPE_Q8_0;
}

static Status show_gguf(const InspectOptions *o, const Gguf *g)
{
    Shown *x;
    TRY(list(&x, o, gguf_count(g)));
    for (int i = 0; i < gguf_count(g); i++) {
        const GgufTensor *t = gguf_at(g, i);
        x[i] = (Shown){.name = t->name, .file = o->path, .type = type_of(t->type), .n_dims = t->n_dims, .shape = t->shape,
                       .n_elems = t->n_elems, .n_bytes = t->n_bytes};
    }
    Status s = show(o, "gguf", x, gguf_count(g), g);
    mem_free(x);
    return s;
}

Status inspect_weights(const InspectOptions *o, const char *stem)
{
    SafeTensors *st;
    TRY(stem ? safetensors_open_folder(&st, o->path, stem) : safetensors_open(&st, o->path));
    Status s = show_safetensors(o, st);
    safetensors_close(&st);
    return s;
}

Status inspect_torch(const InspectOptions *o)
{
    TorchBin *b;
    TRY(torch_bin_open(&b, o->path));
    Status s = show_torch(o, b);
    torch_bin_close(&b);
    return s;
}

Status inspect_gguf(const InspectOptions *o)
{
    Gguf *g;
    TRY(gguf_open(&g, o->path));
    Status s = show_gguf(o, g);
    gguf_close(&g);
    return s;
}

/* ---------------------------------------------------------------- the parts of a diffusers model */

const char *inspect_stem(const char *folder)
{
    static const char *const STEMS[] = {"model", "adapter_model"};
    for (size_t i = 0; i < sizeof STEMS / sizeof *STEMS; i++)
        if (safetensors_check_folder(folder, STEMS[i]) == OK)
            return STEMS[i];
    return "diffusion_pytorch_model";
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
    Totals t = {0};
    for (int i = 0; i < safetensors_count(st); i++)
        count_tensor(&t, shown(safetensors_at(st, i)));
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
    fprintf(o->out,
            ": diffusers model, %d part%s with weights; inspect a part's folder for its tensors (model.diffusion.path takes the whole)\n",
            list.n, status_plural(list.n));
    return OK;
}
