/* preprocessor.c: reads how a vision tower's pictures are prepared (preprocessor.h). */
#include "data/pictures/preprocessor.h"

#include <float.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "data/formats/json_fields.h"
#include "kernels/base/log.h"

enum { MAX_SIZE = 16384, DEFAULT_IMAGE_SIZE = 224, DEFAULT_PATCH_SIZE = 16, COLOURS = 255 };
static const double DEFAULT_RESCALE = 1.0 / 255;

static int32_t read_size(JsonFields *f, const Json *object, const char *key, int32_t absent)
{
    return (int32_t)fields_int(f, object, key, absent, 1, MAX_SIZE);
}

/* {"height","width"}, {"shortest_edge"} (a square: the tower takes nothing else) or one number; left as it is when absent. */
static void read_picture_size(Preprocessor *p, JsonFields *f, const char *key)
{
    const Json *v = fields_get(f->top, key);
    int32_t *height = &p->prep.height, *width = &p->prep.width;
    if (!v)
        return;
    if (v->kind != JSON_OBJECT) {
        *width = *height = read_size(f, f->top, key, *height);
    } else if (fields_get(v, "height") && fields_get(v, "width")) {
        *height = read_size(f, v, "height", *height);
        *width = read_size(f, v, "width", *width);
    } else if (fields_get(v, "shortest_edge")) {
        *width = *height = read_size(f, v, "shortest_edge", *height);
    } else {
        fields_refuse(f, v, key, "has neither height and width nor shortest_edge");
    }
}

/* Three numbers, or one for all channels; left as it is when absent. Each between low and high. */
static void read_colours(double out[3], JsonFields *f, const char *key, double low, double high, const char *expected)
{
    const Json *v = fields_get(f->top, key);
    if (v && v->kind != JSON_ARRAY) {
        out[0] = out[1] = out[2] = fields_real(f, f->top, key, out[0]);
    } else if (v && v->length != 3) {
        fields_refuse(f, v, key, "has %zu numbers, expected 3", v->length);
        return;
    }
    const Json *e = v && v->kind == JSON_ARRAY ? v->child : NULL;
    for (int c = 0; c < 3; c++, e = e ? e->next : NULL) {
        if (e && e->kind != JSON_INT && e->kind != JSON_REAL)
            fields_refuse(f, e, key, "holds %s, expected numbers", json_kind_name(e->kind));
        out[c] = e ? e->real : out[c];
        if (!(out[c] >= low && out[c] <= high))
            fields_refuse(f, v, key, "holds %g, expected %s", out[c], expected);
    }
}

static void read_arithmetic(Preprocessor *p, JsonFields *f)
{
    p->rescale = fields_real(f, f->top, "rescale_factor", DEFAULT_RESCALE);
    read_colours(p->mean, f, "image_mean", 0, 1, "numbers from 0 to 1");
    read_colours(p->std, f, "image_std", DBL_MIN, DBL_MAX, "numbers above 0");
    for (int c = 0; c < 3 && !f->status; c++)
        p->prep.fill[c] = (uint8_t)(p->mean[c] * COLOURS);
    if (!fields_bool(f, f->top, "do_rescale", true))
        p->rescale = 1.0;
    for (int c = 0; c < 3 && !fields_bool(f, f->top, "do_normalize", true); c++) {
        p->mean[c] = 0.0;
        p->std[c] = 1.0;
    }
}

static void read_preprocessor(Preprocessor *p, JsonFields *f, const JsonFields *config)
{
    const int32_t model = p->prep.height;
    read_arithmetic(p, f);
    int64_t filter = fields_int(f, f->top, "resample", FILTER_BICUBIC, -INT64_MAX, INT64_MAX);
    if (filter < FILTER_NEAREST || filter > FILTER_BICUBIC)
        fields_refuse(f, fields_get(f->top, "resample"), "resample", "is %lld, expected 0 (nearest), 1 (Lanczos), 2 (bilinear) or 3 "
                                                                     "(bicubic)", (long long)filter);
    p->prep.filter = (ImageFilter)filter;
    read_picture_size(p, f, "size");
    if (fields_bool(f, f->top, "do_center_crop", true)) /* CLIP's way; on a square it changes nothing */
        read_picture_size(p, f, "crop_size");
    if (!f->status && (p->prep.height != model || p->prep.width != model))
        f->status = fail(ERR_DATA, "%s says pictures of %dx%d pixels, %s says image_size %d; they must agree", f->file, p->prep.width,
                         p->prep.height, config->file, model);
}

/* config.json of the tower alone, or of a whole model with the tower under vision_config. */
static void read_config(Preprocessor *p, JsonFields *f)
{
    const Json *nested = fields_object(f, f->top, "vision_config"), *tower = nested ? nested : f->top;
    /* as transformers for a SigLIP config without these keys */
    p->prep.width = p->prep.height = read_size(f, tower, "image_size", DEFAULT_IMAGE_SIZE);
    p->patch = read_size(f, tower, "patch_size", DEFAULT_PATCH_SIZE);
    if (p->patch > p->prep.height)
        fields_refuse(f, NULL, "patch_size", "%d is larger than image_size %d", p->patch, p->prep.height);
}

static Status read_beside(Preprocessor *p, const char *folder, const JsonFields *config)
{
    JsonFields f;
    TRY(fields_open(&f, folder, "preprocessor_config.json"));
    read_preprocessor(p, &f, config);
    fields_close(&f);
    return f.status;
}

Status preprocessor_load(Preprocessor *p, const char *vision_folder, bool pad)
{
    *p = (Preprocessor){.prep = {.pad = pad, .filter = FILTER_BICUBIC, .fill = {COLOURS / 2, COLOURS / 2, COLOURS / 2}},
                        .rescale = DEFAULT_RESCALE,
                        .mean = {0.5, 0.5, 0.5}, .std = {0.5, 0.5, 0.5}};
    JsonFields config;
    char path[PATH_MAX];
    TRY(fields_open(&config, vision_folder, "config.json"));
    read_config(p, &config);
    Status s = config.status;
    if (!s && file_exists(file_join(path, vision_folder, "preprocessor_config.json")))
        s = read_beside(p, vision_folder, &config);
    else if (!s)
        log_info("%s is missing: pictures are prepared as SigLIP's are (bicubic to %dx%d, mean and std 0.5)", path, p->prep.width,
                 p->prep.height);
    fields_close(&config);
    TRY(s);
    p->patches = p->prep.height / p->patch * (p->prep.width / p->patch);
    return OK;
}
