/* preprocessor.c: reads how a vision tower's pictures are prepared (preprocessor.h). */
#include "data/pictures/preprocessor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "kernels/base/log.h"

enum { MAX_SIZE = 16384, DEFAULT_IMAGE_SIZE = 224, DEFAULT_PATCH_SIZE = 16, COLOURS = 255 };
static const double DEFAULT_RESCALE = 1.0 / 255;

/* A file of the folder, with its name for messages. */
typedef struct Source {
    char path[PATH_MAX];
    JsonDoc *doc; /* NULL: absent */
    const Json *root;
} Source;

/* A member; null counts as absent. */
static const Json *get(const Json *object, const char *key)
{
    const Json *v = json_get(object, key);
    return v && v->kind != JSON_NULL ? v : NULL;
}

static Status wrong(const Source *s, const Json *v, const char *key, const char *wanted)
{
    return fail(ERR_DATA, "%s:%d:%d: %s is %s; wanted %s", s->path, v->line, v->column, key, json_kind_name(v->kind), wanted);
}

static Status read_size(int32_t *out, const Source *s, const Json *v, const char *key)
{
    if (v->kind != JSON_INT)
        return wrong(s, v, key, "an integer");
    if (v->integer < 1 || v->integer > MAX_SIZE)
        return fail(ERR_DATA, "%s:%d:%d: %s is %lld; wanted 1 to %d pixels", s->path, v->line, v->column, key, (long long)v->integer, MAX_SIZE);
    *out = (int32_t)v->integer;
    return OK;
}

/* {"height","width"}, {"shortest_edge"} (a square: the tower takes nothing else) or one number. */
static Status read_picture_size(int32_t *height, int32_t *width, const Source *s, const Json *v, const char *key)
{
    const Json *h = get(v, "height"), *w = get(v, "width"), *edge = get(v, "shortest_edge");
    if (h && w) {
        TRY(read_size(height, s, h, "height"));
        return read_size(width, s, w, "width");
    }
    if (v->kind == JSON_OBJECT && !edge)
        return fail(ERR_DATA, "%s:%d:%d: %s has neither height and width nor shortest_edge", s->path, v->line, v->column, key);
    TRY(read_size(height, s, edge ? edge : v, edge ? "shortest_edge" : key));
    *width = *height;
    return OK;
}

static Status read_number(double *out, const Source *s, const Json *v, const char *key)
{
    if (v->kind != JSON_INT && v->kind != JSON_REAL)
        return wrong(s, v, key, "a number");
    *out = v->real;
    return OK;
}

/* Three numbers, or one for all channels; left as it is when absent. */
static Status read_colours(double out[3], const Source *s, const char *key)
{
    const Json *v = get(s->root, key);
    if (!v)
        return OK;
    if (v->kind != JSON_ARRAY) {
        TRY(read_number(&out[0], s, v, key));
        out[1] = out[2] = out[0];
        return OK;
    }
    if (v->length != 3)
        return fail(ERR_DATA, "%s:%d:%d: %s has %zu numbers; wanted 3", s->path, v->line, v->column, key, v->length);
    const Json *e = v->child;
    for (int c = 0; c < 3; c++, e = e->next)
        TRY(read_number(&out[c], s, e, key));
    return OK;
}

static bool is_false(const Source *s, const char *key)
{
    const Json *v = get(s->root, key);
    return v && v->kind == JSON_BOOL && !v->boolean;
}

static Status read_filter(ImageFilter *out, const Source *s)
{
    const Json *v = get(s->root, "resample");
    if (!v)
        return OK;
    if (v->kind != JSON_INT)
        return wrong(s, v, "resample", "an integer");
    if (v->integer < FILTER_NEAREST || v->integer > FILTER_BICUBIC)
        return fail(ERR_DATA, "%s:%d:%d: resample is %lld; wanted 0 (nearest), 1 (Lanczos), 2 (bilinear) or 3 (bicubic)", s->path, v->line,
                    v->column, (long long)v->integer);
    *out = (ImageFilter)v->integer;
    return OK;
}

static Status read_arithmetic(Preprocessor *p, const Source *s)
{
    const Json *factor = get(s->root, "rescale_factor");
    if (factor)
        TRY(read_number(&p->rescale, s, factor, "rescale_factor"));
    TRY(read_colours(p->mean, s, "image_mean"));
    TRY(read_colours(p->std, s, "image_std"));
    for (int c = 0; c < 3; c++) {
        if (!(p->std[c] > 0) || !isfinite(p->std[c]))
            return fail(ERR_DATA, "%s: image_std holds %g; wanted numbers above 0", s->path, p->std[c]);
        if (!(p->mean[c] >= 0 && p->mean[c] <= 1))
            return fail(ERR_DATA, "%s: image_mean holds %g; wanted numbers from 0 to 1", s->path, p->mean[c]);
        p->prep.fill[c] = (uint8_t)(p->mean[c] * COLOURS);
    }
    if (is_false(s, "do_rescale"))
        p->rescale = 1.0;
    for (int c = 0; c < 3 && is_false(s, "do_normalize"); c++) {
        p->mean[c] = 0.0;
        p->std[c] = 1.0;
    }
    return OK;
}

static Status read_preprocessor(Preprocessor *p, const Source *s, const Source *config)
{
    const Json *size = get(s->root, "size"), *crop = get(s->root, "crop_size");
    TRY(read_arithmetic(p, s));
    TRY(read_filter(&p->prep.filter, s));
    int32_t model = p->prep.height;
    if (size)
        TRY(read_picture_size(&p->prep.height, &p->prep.width, s, size, "size"));
    if (crop && !is_false(s, "do_center_crop")) /* CLIP's way; on a square it changes nothing */
        TRY(read_picture_size(&p->prep.height, &p->prep.width, s, crop, "crop_size"));
    if (p->prep.height != model || p->prep.width != model)
        return fail(ERR_DATA, "%s says pictures of %dx%d pixels, %s says image_size %d; they must agree", s->path, p->prep.width,
                    p->prep.height, config->path, model);
    return OK;
}

/* config.json of the tower alone, or of a whole model with the tower under vision_config. */
static Status read_config(Preprocessor *p, const Source *s)
{
    const Json *nested = get(s->root, "vision_config"), *tower = nested ? nested : s->root;
    const Json *size = get(tower, "image_size"), *patch = get(tower, "patch_size");
    if (tower->kind != JSON_OBJECT)
        return wrong(s, tower, nested ? "vision_config" : "the file", "an object");
    p->prep.height = DEFAULT_IMAGE_SIZE; /* what transformers takes for a SigLIP config without these keys */
    p->patch = DEFAULT_PATCH_SIZE;
    if (size)
        TRY(read_size(&p->prep.height, s, size, "image_size"));
    if (patch)
        TRY(read_size(&p->patch, s, patch, "patch_size"));
    if (p->patch > p->prep.height)
        return fail(ERR_DATA, "%s: patch_size %d is larger than image_size %d", s->path, p->patch, p->prep.height);
    p->prep.width = p->prep.height;
    return OK;
}

static Status open_source(Source *s, const char *folder, const char *file, bool may_be_absent)
{
    *s = (Source){.doc = NULL};
    if (!file_exists(file_join(s->path, folder, file)) && may_be_absent)
        return OK;
    TRY(json_read_file(&s->doc, s->path));
    s->root = json_root(s->doc);
    return s->root->kind == JSON_OBJECT ? OK : wrong(s, s->root, "the file", "an object");
}

static Status load(Preprocessor *p, Source *config, Source *pre, const char *folder)
{
    TRY(open_source(config, folder, "config.json", false));
    TRY(open_source(pre, folder, "preprocessor_config.json", true));
    TRY(read_config(p, config));
    if (!pre->doc)
        log_info("%s is missing: pictures are prepared as SigLIP's are (bicubic to %dx%d, mean and std 0.5)", pre->path, p->prep.width,
                 p->prep.height);
    return read_preprocessor(p, pre, config);
}

Status preprocessor_load(Preprocessor *p, const char *vision_folder, bool pad)
{
    *p = (Preprocessor){.prep = {.pad = pad, .filter = FILTER_BICUBIC}, .rescale = DEFAULT_RESCALE, .mean = {0.5, 0.5, 0.5}, .std = {0.5, 0.5, 0.5}};
    Source config = {.doc = NULL}, pre = {.doc = NULL};
    Status s = load(p, &config, &pre, vision_folder);
    json_free(&config.doc);
    json_free(&pre.doc);
    TRY(s);
    p->patches = p->prep.height / p->patch * (p->prep.width / p->patch);
    return OK;
}
