/* painter.c: from a question to a picture in a file (painter.h). */
#include "train/infer/painter.h"

#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/pictures/png_write.h"
#include "data/pictures/sheet.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

struct Painter {
    Answerer *answerer;
    Drawer *drawer;
    const RunConfig *cfg;
    DrawOptions how;
    const char *checkpoint;
    float *context; /* [queries,C] */
};

Status painter_open(Painter **out, Answerer *a, const RunConfig *cfg, const DrawOptions *how, const char *checkpoint)
{
    const ModelSizes *sizes = genllava_model_sizes(answerer_model(a));
    char folder[PATH_MAX];
    Painter *p = *out = mem_alloc(sizeof *p);
    if (!p)
        return fail(ERR_NOMEM, "no memory to draw");
    *p = (Painter){.answerer = a, .cfg = cfg, .how = *how, .checkpoint = checkpoint};
    p->context = mem_alloc((size_t)sizes->queries * (size_t)sizes->context * sizeof *p->context);
    if (!p->context)
        return fail(ERR_NOMEM, "no memory for the context of a picture");
    if (how->sampler == SAMPLER_OF_FOLDER)
        TRY(sampler_of_folder(&p->how.sampler, file_join(folder, cfg->model.diffusion.path, "scheduler")));
    return drawer_open(&p->drawer, answerer_model(a), cfg, answerer_backend(a));
}

void painter_close(Painter **p)
{
    if (!*p)
        return;
    drawer_close(&(*p)->drawer);
    mem_free((*p)->context);
    mem_free(*p);
    *p = NULL;
}

const char *painter_absent(const RunConfig *cfg)
{
    static const char *const PARTS[] = {"unet/config.json", "vae/config.json"};
    static char why[PATH_MAX + 64];
    char path[PATH_MAX];
    if (!cfg->model.diffusion.path)
        return "model.diffusion.path is null";
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
        if (!file_exists(file_join(path, cfg->model.diffusion.path, PARTS[i]))) {
            snprintf(why, sizeof why, "model.diffusion.path: there is no %s", path);
            return why;
        }
    return NULL;
}

static bool asks_for_picture(const Json *row)
{
    const Json *task = row->kind == JSON_OBJECT ? json_get(row, "task") : NULL;
    return row->kind == JSON_OBJECT && (json_get(row, "draw") || json_get(row, "edit") ||
                                        (task && task->kind == JSON_STRING && strcmp(task->string, TASK_NAMES[TASK_UNDERSTAND])));
}

Status painter_asked(const char *file, RowsForm form, bool *asked)
{
    Rows *in;
    Row row;
    bool end = false;
    *asked = false;
    TRY(rows_open(&in, file, form));
    Status s = OK;
    while (!*asked && !(s = rows_next(in, &row, &end)) && !end) {
        JsonDoc *doc = NULL;
        if (row.error || json_parse_at(&doc, row.text, row.n, file, row.line, row.column))
            continue; /* who answers it says so */
        *asked = asks_for_picture(json_root(doc));
        json_free(&doc);
    }
    rows_close(&in);
    return s;
}

Status painter_source(const RunConfig *cfg, const char *root, const char *path, uint8_t **pixels)
{
    const ImagePrep prep = image_prep_target((int32_t)cfg->model.diffusion.size, cfg->data.max_pixels);
    *pixels = mem_alloc((size_t)prep.width * (size_t)prep.height * 3);
    if (!*pixels)
        return fail(ERR_NOMEM, "no memory for a picture of %dx%d pixels", prep.width, prep.height);
    Status s = answer_picture(&prep, root, path, *pixels);
    if (s) {
        mem_free(*pixels);
        *pixels = NULL;
    }
    return s;
}

static Status draw_one(Painter *p, const Picture *what, const float *context, const uint8_t *source, uint64_t seed, Image *picture)
{
    const int32_t side = (int32_t)p->cfg->model.diffusion.size;
    *picture = (Image){.width = side, .height = side, .rgb = mem_alloc((size_t)side * (size_t)side * 3)};
    if (!picture->rgb)
        return fail(ERR_NOMEM, "no memory for a picture of %dx%d pixels", side, side);
    DrawOptions how = p->how;
    how.seed = seed;
    how.index = what->index;
    Status s = draw_picture(p->drawer, what->task, context, source, &how, picture->rgb);
    if (s)
        image_free(picture);
    return s;
}

static Status draw_sheet(Painter *p, const Picture *what, const float *context, const uint8_t *source, Image *sheet)
{
    const int32_t n = (int32_t)what->grid, columns = sheet_columns(n), side = (int32_t)p->cfg->model.diffusion.size;
    TRY(sheet_create(sheet, (n + columns - 1) / columns, columns, side, side));
    Status s = OK;
    for (int32_t i = 0; i < n && !s; i++) {
        Image one;
        s = draw_one(p, what, context, source, what->seed + (uint64_t)i, &one);
        if (s)
            break;
        sheet_put(sheet, i / columns, i % columns, &one);
        image_free(&one);
    }
    if (s)
        image_free(sheet);
    return s;
}

Status painter_draw(Painter *p, const Picture *what, Image *picture)
{
    uint8_t *loaded = NULL;
    *picture = (Image){0};
    if (what->source && !what->pixels)
        TRY(painter_source(p->cfg, what->root, what->source, &loaded));
    const uint8_t *source = what->pixels ? what->pixels : loaded;
    const float *context = what->context ? what->context : p->context;
    Status s = what->context      ? OK
               : p->cfg->captions ? drawer_caption(p->drawer, what->caption, p->context)
                                  : answerer_context(p->answerer, what->question, what->task, p->context);
    if (!s)
        s = what->grid > 1 ? draw_sheet(p, what, context, source, picture) : draw_one(p, what, context, source, what->seed, picture);
    mem_free(loaded);
    return s;
}

/* ---------------------------------------------------------------- files */

enum { TEXTS = 8, VALUE_BYTES = 40 };

typedef struct Texts {
    PngText list[TEXTS];
    char value[TEXTS][VALUE_BYTES];
    int n;
} Texts;

static void put(Texts *t, const char *key, const char *value) { t->list[t->n++] = (PngText){key, value}; }

static void put_number(Texts *t, const char *key, double value)
{
    snprintf(t->value[t->n], VALUE_BYTES, "%.15g", value);
    put(t, key, t->value[t->n]);
}

static void put_seeds(Texts *t, const Picture *what)
{
    char *value = t->value[t->n];
    int n = snprintf(value, VALUE_BYTES, "%llu", (unsigned long long)what->seed);
    if (what->grid > 1)
        snprintf(value + n, VALUE_BYTES - (size_t)n, "-%llu", (unsigned long long)(what->seed + (uint64_t)what->grid - 1));
    put(t, "seed", value);
}

Status painter_save(const Painter *p, const Picture *what, const Image *picture, const char *path)
{
    const EditMode mode = p->cfg->model.diffusion.edit;
    const bool edits = what->task == TASK_EDIT;
    const bool captions = p->cfg->captions;
    const RecordText told = captions ? (RecordText){what->caption, strlen(what->caption)} : what->prompt;
    const size_t room = 4 * told.length + 1;
    char *prompt = mem_alloc(room);
    if (!prompt)
        return fail(ERR_NOMEM, "no memory for the prompt of a picture");
    utf8_show(prompt, room, told.text, told.length, UTF8_TEXT);
    Texts t = {.n = 0};
    put(&t, "prompt", prompt);
    put_seeds(&t, what);
    put(&t, "sampler", sampler_name(p->how.sampler));
    put_number(&t, "steps", (double)p->how.steps);
    put_number(&t, "guidance", p->how.guidance);
    if (edits && (mode == EDIT_IP2P || mode == EDIT_TRAIN_CONV_IN))
        put_number(&t, "image_guidance", p->how.image_guidance);
    if (edits && mode == EDIT_SDEDIT)
        put_number(&t, "strength", p->how.strength);
    const char *slash = strrchr(p->cfg->model.diffusion.path, '/');
    if (captions)
        put(&t, "text_encoder", slash && slash[1] ? slash + 1 : p->cfg->model.diffusion.path);
    else
        put(&t, "checkpoint", p->checkpoint);
    Status s = png_write(path, picture, t.list, t.n);
    mem_free(prompt);
    return s;
}
