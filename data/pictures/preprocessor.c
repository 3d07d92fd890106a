/* preprocessor.c: reads how a vision tower's pictures are prepared (preprocessor.h). */
#include "data/pictures/preprocessor.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/log.h"

enum { MAX_SIZE = 16384, DEFAULT_IMAGE_SIZE = 224, COLOURS = 255 };
static const char PREPROCESSOR_FILE[] = "preprocessor_config.json", PROCESSOR_FILE[] = "processor_config.json";
static const double DEFAULT_RESCALE = 1.0 / 255;

static int32_t read_size(JsonFields *f, const Json *object, const char *key, int32_t absent)
{
    return (int32_t)fields_int(f, object, key, absent, 1, MAX_SIZE);
}

/* What transformers' two classes of image processors do where their files say nothing. */
typedef struct Processor {
    const char *name;
    bool crops; /* the shorter side is resized, then the middle cut out; else both sides are resized */
    double mean[3], std[3];
} Processor;
static const Processor SIGLIP = {.name = "SigLIP", .mean = {0.5, 0.5, 0.5}, .std = {0.5, 0.5, 0.5}};
static const Processor CLIP = {.name = "CLIP", .crops = true, .mean = {0.48145466, 0.4578275, 0.40821073},
                               .std = {0.26862954, 0.26130258, 0.27577711}};

/* Keys of image processors (transformers 4.x and 5.x). */
static const FieldRule RULES[] = {
    {"_processor_class", NULL},
    {"_valid_processor_keys", NULL},
    {"antialias", "true"},
    {"auto_map", ""},
    {"crop_size", NULL},
    {"data_format", NULL}, /* of the tensor */
    {"default_to_square", NULL},
    {"device", NULL},
    {"disable_grouping", NULL},
    {"do_center_crop", NULL},
    {"do_convert_rgb", "true"},
    {"do_normalize", NULL},
    {"do_pad", ""}, /* model.vision.aspect is what counts */
    {"do_rescale", NULL},
    {"do_resize", "true"},
    {"feature_extractor_type", "\"SiglipImageProcessor\"|\"SiglipFeatureExtractor\"|\"CLIPFeatureExtractor\"|\"CLIPImageProcessor\""},
    {"image_mean", NULL},
    {"image_processor_type", "\"SiglipImageProcessor\"|\"SiglipImageProcessorFast\"|\"SiglipImageProcessorPil\"|\"CLIPImageProcessor\"|"
                             "\"CLIPImageProcessorFast\"|\"CLIPImageProcessorPil\""},
    {"image_std", NULL},
    {"input_data_format", NULL},
    {"pad_size", ""},
    {"processor_class", NULL},
    {"resample", NULL},
    {"rescale_factor", NULL},
    {"return_tensors", NULL},
    {"size", NULL},
    {0},
};
const FieldClass PREPROCESSOR_FIELDS = {.tables = {RULES}};

/* false is the one value beside null that is always harmless, and here it is not. */
static void expect_bool(JsonFields *f, const Json *o, const char *key, bool expected)
{
    if (fields_bool(f, o, key, expected) != expected)
        fields_refuse(f, fields_get(o, key), key, "is %s, expected %s", expected ? "false" : "true", expected ? "true" : "false");
}

/* {"height","width"}, {"shortest_edge"} (the same for a square) or one number; left as it is when absent. */
static void read_picture_size(JsonFields *f, const Json *o, const char *key, bool square, int32_t *height, int32_t *width)
{
    const Json *v = fields_get(o, key);
    if (!v)
        return;
    if (v->kind != JSON_OBJECT) {
        *width = *height = read_size(f, o, key, *height);
    } else if (fields_get(v, "height") && fields_get(v, "width")) {
        *height = read_size(f, v, "height", *height);
        *width = read_size(f, v, "width", *width);
    } else if (fields_get(v, "shortest_edge") && !square) {
        fields_refuse(f, v, key,
                      "has a shortest_edge, which keeps a picture's shape; the tower takes squares (model.vision.aspect \"pad\")");
    } else if (fields_get(v, "shortest_edge")) {
        *width = *height = read_size(f, v, "shortest_edge", *height);
    } else {
        fields_refuse(f, v, key, "has neither height and width nor shortest_edge");
    }
}

/* Three numbers, or one for all channels; left as it is when absent. Each between low and high. */
static void read_colours(double out[3], JsonFields *f, const Json *o, const char *key, double low, double high, const char *expected)
{
    const Json *v = fields_get(o, key);
    if (v && v->kind != JSON_ARRAY) {
        out[0] = out[1] = out[2] = fields_real(f, o, key, out[0]);
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

static void read_arithmetic(Preprocessor *p, JsonFields *f, const Json *o)
{
    p->rescale = fields_real(f, o, "rescale_factor", DEFAULT_RESCALE);
    read_colours(p->mean, f, o, "image_mean", 0, 1, "numbers from 0 to 1");
    read_colours(p->std, f, o, "image_std", DBL_MIN, DBL_MAX, "numbers above 0");
    for (int c = 0; c < 3 && !f->status; c++)
        p->prep.fill[c] = (uint8_t)(p->mean[c] * COLOURS);
    if (!fields_bool(f, o, "do_rescale", true))
        p->rescale = 1.0;
    for (int c = 0; c < 3 && !fields_bool(f, o, "do_normalize", true); c++) {
        p->mean[c] = 0.0;
        p->std[c] = 1.0;
    }
}

/* A crop as large as the picture is none. */
static void check_crop(const Preprocessor *p, JsonFields *f, const Json *o)
{
    int32_t height = p->prep.height, width = p->prep.width;
    if (!fields_bool(f, o, "do_center_crop", true)) /* a file that has a crop_size means it unless it says so */
        return;
    read_picture_size(f, o, "crop_size", true, &height, &width);
    if (!f->status && (height != p->prep.height || width != p->prep.width))
        fields_refuse(f, fields_get(o, "crop_size"), "crop_size", "is %dx%d of a picture of %dx%d; cropping is not supported", width,
                      height, p->prep.width, p->prep.height);
}

/* size as two sides: both are resized. As one number or shortest_edge: that of the shorter side, and then the middle is cut out. */
static void read_size_and_crop(Preprocessor *p, JsonFields *f, const Json *o)
{
    const Json *size = fields_get(o, "size");
    ImagePrep *prep = &p->prep;
    int32_t height = prep->height, width = prep->width;
    read_picture_size(f, o, "size", true, &height, &width);
    if (size && size->kind == JSON_OBJECT && fields_get(size, "height")) {
        prep->height = height;
        prep->width = width;
        prep->shorter = 0;
        check_crop(p, f, o);
        return;
    }
    bool crops = fields_bool(f, o, "do_center_crop", true);
    if (crops)
        read_picture_size(f, o, "crop_size", true, &prep->height, &prep->width);
    else
        prep->height = prep->width = height;
    if (!crops && !prep->pad)
        fields_refuse(f, fields_get(o, "do_center_crop"), "do_center_crop",
                      "is false, which keeps a picture's shape; the tower takes squares (model.vision.aspect \"pad\")");
    if (prep->height > height || prep->width > height)
        fields_refuse(f, fields_get(o, "crop_size"), "crop_size", "is %dx%d, more than the shorter side of %d (size)", prep->width,
                      prep->height, height);
    bool whole = prep->pad && prep->height == height && prep->width == height; /* of a square nothing hangs over */
    prep->shorter = whole ? 0 : height;
}

static const Processor *find_processor(JsonFields *f, const Json *o, const Processor *of_tower)
{
    const char *name = fields_string(f, o, "image_processor_type", fields_string(f, o, "feature_extractor_type", of_tower->name));
    return strncmp(name, "CLIP", strlen("CLIP")) ? &SIGLIP : &CLIP;
}

static void begin(Preprocessor *p, const Processor *processor)
{
    memcpy(p->mean, processor->mean, sizeof p->mean);
    memcpy(p->std, processor->std, sizeof p->std);
    p->prep.shorter = processor->crops && !p->prep.pad ? p->prep.height : 0;
    for (int c = 0; c < 3; c++)
        p->prep.fill[c] = (uint8_t)(p->mean[c] * COLOURS);
}

static void read_preprocessor(Preprocessor *p, JsonFields *f, const Json *o, const JsonFields *config, const Processor *of_tower)
{
    const int32_t model = p->prep.height;
    fields_known(f, o, &PREPROCESSOR_FIELDS);
    const Processor *processor = find_processor(f, o, of_tower);
    begin(p, processor);
    expect_bool(f, o, "do_resize", true);
    expect_bool(f, o, "do_convert_rgb", true);
    expect_bool(f, o, "antialias", true);
    expect_bool(f, o, "default_to_square", !processor->crops);
    read_arithmetic(p, f, o);
    int64_t filter = fields_int(f, o, "resample", FILTER_BICUBIC, -INT64_MAX, INT64_MAX);
    if (filter < FILTER_NEAREST || filter > FILTER_BICUBIC)
        fields_refuse(f, fields_get(o, "resample"), "resample", "is %lld, expected 0 (nearest), 1 (Lanczos), 2 (bilinear) or 3 "
                                                                "(bicubic)", (long long)filter);
    p->prep.filter = (ImageFilter)filter;
    if (processor->crops) {
        read_size_and_crop(p, f, o);
    } else {
        read_picture_size(f, o, "size", p->prep.pad, &p->prep.height, &p->prep.width);
        check_crop(p, f, o);
    }
    if (!f->status && (p->prep.height != model || p->prep.width != model))
        f->status = fail(ERR_DATA, "%s says pictures of %dx%d pixels, %s says image_size %d; they must agree", f->file, p->prep.width,
                         p->prep.height, config->file, model);
}

TowerSettings preprocessor_tower(JsonFields *f)
{
    static const char SIGLIP_TYPE[] = "siglip_vision_model", CLIP_TYPE[] = "clip_vision_model";
    const char *top = fields_string(f, f->top, "model_type", SIGLIP_TYPE);
    const Json *nested = fields_object(f, f->top, "vision_config");
    /* Of the first releases; transformers' CLIPConfig takes it in place of the other. */
    const Json *older = nested && !strcmp(top, "clip") ? fields_object(f, f->top, "vision_config_dict") : NULL;
    const char *type = top;
    if (nested) /* a family's own model need not say what its tower is */
        type = fields_string(f, older ? older : nested, "model_type",
                             !strcmp(top, "siglip") || !strcmp(top, SIGLIP_TYPE) ? SIGLIP_TYPE
                             : !strcmp(top, "clip")                              ? CLIP_TYPE
                                                                                 : "missing");
    return (TowerSettings){.object = older    ? older
                                     : nested ? nested
                                              : f->top,
                           .type = type, .clip = !strcmp(type, CLIP_TYPE), .nested = nested != NULL};
}

static void read_config(Preprocessor *p, JsonFields *f, const TowerSettings *tower)
{
    /* as transformers for a config without these keys */
    p->prep.width = p->prep.height = read_size(f, tower->object, "image_size", DEFAULT_IMAGE_SIZE);
    p->patch = read_size(f, tower->object, "patch_size", tower->clip ? 32 : 16);
    if (p->patch > p->prep.height)
        fields_refuse(f, NULL, "patch_size", "%d is larger than image_size %d", p->patch, p->prep.height);
}

const char *preprocessor_file(const char *vision_folder)
{
    static const char *const NAMES[] = {PROCESSOR_FILE, PREPROCESSOR_FILE};
    for (int i = 0; i < 2; i++) {
        JsonFields f;
        char path[PATH_MAX];
        if (!file_exists(file_join(path, vision_folder, NAMES[i])))
            continue;
        if (i == 1 || fields_open(&f, vision_folder, NAMES[i])) /* a damaged one is said when it is read */
            return NAMES[i];
        bool nested = fields_get(f.top, "image_processor") != NULL;
        fields_close(&f);
        if (nested)
            return NAMES[i];
    }
    return NULL;
}

static Status read_beside(Preprocessor *p, const char *folder, const char *name, const JsonFields *config, const Processor *of_tower)
{
    JsonFields f;
    TRY(fields_open(&f, folder, name));
    read_preprocessor(p, &f, strcmp(name, PROCESSOR_FILE) ? f.top : fields_object(&f, f.top, "image_processor"), config, of_tower);
    fields_close(&f);
    return f.status;
}

Status preprocessor_load(Preprocessor *p, const char *vision_folder, bool pad)
{
    *p = (Preprocessor){.prep = {.pad = pad, .filter = FILTER_BICUBIC, .max_pixels = IMAGE_MAX_PIXELS}, .rescale = DEFAULT_RESCALE};
    JsonFields config;
    char path[PATH_MAX];
    TRY(fields_open(&config, vision_folder, "config.json"));
    const TowerSettings tower = preprocessor_tower(&config);
    const Processor *processor = tower.clip ? &CLIP : &SIGLIP;
    read_config(p, &config, &tower);
    begin(p, processor);
    Status s = config.status;
    const char *name = preprocessor_file(vision_folder);
    if (!s && name)
        s = read_beside(p, vision_folder, name, &config, processor);
    else if (!s)
        log_info("%s is missing: pictures are prepared as %s's are (bicubic to %dx%d, mean and std of its class)",
                 file_join(path, vision_folder, PREPROCESSOR_FILE), processor->name, p->prep.width, p->prep.height);
    fields_close(&config);
    TRY(s);
    p->patches = p->prep.height / p->patch * (p->prep.width / p->patch);
    return OK;
}
