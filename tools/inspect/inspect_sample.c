/* inspect_sample.c: pages of inspect about one sample of a shard: tokens, label mask, pictures, pixels (inspect.h). */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "data/text/encode.h"
#include "data/pictures/preprocessor.h"
#include "data/formats/file.h"
#include "data/formats/sha256.h"
#include "data/shards/shard_set.h"
#include "data/text/tokenizer.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "tools/inspect/inspect.h"
#include "train/config/config.h"

/* ---------------------------------------------------------------- words for ids */

typedef struct Words {
    Tokenizer *tok; /* NULL: not found */
    JsonDoc *inputs, *added;
    const Shard *s;
    InspectLabels labels;
} Words;

/* The vocabulary is not in the shard: it is looked for where the config says, else where it lay when the shard was made. */
static Status open_words(Words *w, const InspectOptions *o, const Shard *s)
{
    char path[PATH_MAX] = "", sha[65];
    *w = (Words){.s = s};
    TRY(inspect_labels(o, &w->labels));
    TRY(json_parse(&w->added, s->attr.tok_added, strlen(s->attr.tok_added), "tok_added"));
    TRY(json_parse(&w->inputs, s->attr.inputs, strlen(s->attr.inputs), "inputs"));
    const Json *first = json_root(w->inputs)->child, *name = first ? json_get(first, "path") : NULL;
    if (o->config) {
        RunConfig cfg;
        TRY(config_load(&cfg, o->config, NULL, 0));
        file_join(path, cfg.model.llm.path, "tokenizer.model");
        config_free(&cfg);
    } else if (name && name->kind == JSON_STRING) {
        snprintf(path, sizeof path, "%s", name->string);
    }
    Status hashed = *path ? sha256_file(path, sha, NULL) : ERR_MISSING;
    if (hashed)
        return hashed == ERR_NOMEM ? hashed : OK;
    if (strcmp(sha, s->attr.tok_sha256))
        return o->config ? fail(ERR_DATA, "%s is not the tokenizer that %s was made with", path, s->path) : OK;
    return tokenizer_open(&w->tok, path);
}

static void close_words(Words *w)
{
    tokenizer_close(&w->tok);
    json_free(&w->inputs);
    json_free(&w->added);
}

static const char *word_of(const Words *w, int32_t id)
{
    if (id == ID_IMAGE)
        return "<image>";
    if (id < w->s->attr.vocab_size)
        return w->tok ? tokenizer_piece(w->tok, id) : "";
    for (const Json *a = json_root(w->added)->child; a; a = a->next)
        if (a->kind == JSON_INT && a->integer == id)
            return a->key;
    return "";
}

/* ---------------------------------------------------------------- a sample */

static int64_t count_labels(const Words *w, int64_t sample)
{
    int64_t n = 0;
    for (uint64_t t = w->s->tok_off[sample]; t < w->s->tok_off[sample + 1]; t++)
        n += inspect_is_label(w->s, t, &w->labels);
    return n;
}

static Status check_numbers(const InspectOptions *o, const Shard *s, int64_t *first, int64_t *images)
{
    if (o->sample >= s->attr.n_samples)
        return fail(ERR_USAGE, "--sample %" PRId64 ": %s holds %" PRId64 " samples, numbered from 0", o->sample, s->path,
                    s->attr.n_samples);
    *first = (int64_t)s->img_off[o->sample];
    *images = (int64_t)s->img_off[o->sample + 1] - *first;
    if (o->image >= *images)
        return fail(ERR_USAGE, "--image %" PRId64 ": sample %" PRId64 " has %" PRId64 " images, numbered from 0", o->image, o->sample,
                    *images);
    return OK;
}

/* The pictures of a sample: each lies in its own shard or in one beside it. */
typedef struct Pictures {
    const Shard *s;
    int64_t first, n; /* references of the sample */
    Shard **beside;   /* [number of s] earlier shards that were opened for them; NULL: not needed, or not there */
} Pictures;

static const Shard *holder_of(const Pictures *p, int64_t k)
{
    return p->s->ref_shard[p->first + k] == p->s->attr.shard_index ? p->s : p->beside[p->s->ref_shard[p->first + k]];
}

static bool is_asked_for(const InspectOptions *o, int64_t k) { return o->image < 0 || k == o->image; }

/* Reads it, so that damage is seen. */
static Status check_picture(const Shard *holder, uint32_t i)
{
    uint8_t *bytes = mem_alloc(holder->image_off[i + 1] - holder->image_off[i]);
    Status s = bytes ? shard_image(holder, i, bytes) : fail(ERR_NOMEM, "no memory for image %u", i);
    mem_free(bytes);
    return s;
}

static Status open_picture(Pictures *p, int64_t k)
{
    const uint64_t ref = (uint64_t)(p->first + k);
    if (!holder_of(p, k)) {
        Status s = shard_open_beside(&p->beside[p->s->ref_shard[ref]], p->s, p->s->ref_shard[ref]);
        if (s)
            return s == ERR_MISSING ? OK : s;
    }
    TRY(shard_check_ref(p->s, ref, holder_of(p, k)));
    return check_picture(holder_of(p, k), p->s->ref_image[ref]);
}

static void close_pictures(Pictures *p)
{
    for (int64_t k = 0; k < p->s->attr.shard_index && p->beside; k++)
        shard_close(&p->beside[k]);
    mem_free(p->beside);
}

static Status open_pictures(Pictures *p, const InspectOptions *o, const Shard *s)
{
    *p = (Pictures){.s = s};
    TRY(check_numbers(o, s, &p->first, &p->n));
    p->beside = mem_alloc((size_t)s->attr.shard_index * sizeof *p->beside);
    Status r = p->beside ? OK : fail(ERR_NOMEM, "no memory for the shards beside %s", s->path);
    for (int64_t k = 0; k < p->n && !r; k++)
        if (is_asked_for(o, k))
            r = open_picture(p, k);
    if (r)
        close_pictures(p);
    return r;
}

static void add_image(cJSON *images, const Pictures *p, int64_t k)
{
    const Shard *s = p->s, *holder = holder_of(p, k);
    const int64_t ref = p->first + k;
    uint32_t i = s->ref_image[ref];
    char sha[65];
    cJSON *j = json_add(images, NULL, cJSON_CreateObject());
    cJSON_AddStringToObject(j, "role", ROLE_NAMES[s->ref_role[ref]]);
    json_add_int(j, "shard", s->ref_shard[ref]);
    json_add_int(j, "number", i);
    if (!holder)
        return;
    sha256_hex(holder->image_sha256[i], sha);
    cJSON_AddStringToObject(j, "format", image_format_name((ImageFormat)holder->image_fmt[i]));
    json_add_int(j, "width", holder->image_wh[i][0]);
    json_add_int(j, "height", holder->image_wh[i][1]);
    json_add_int(j, "orientation", holder->image_orient[i]);
    json_add_int(j, "bytes", (int64_t)(holder->image_off[i + 1] - holder->image_off[i]));
    cJSON_AddStringToObject(j, "sha256", sha);
}

static Status sample_json(const InspectOptions *o, const Pictures *p, const Words *w, const char *line)
{
    const Shard *s = p->s;
    const int64_t i = o->sample;
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "kind", "sample");
    cJSON_AddStringToObject(j, "path", s->path);
    json_add_int(j, "sample", i);
    json_add_int(j, "record", s->record[i]);
    json_add_int(j, "source", s->source[i]);
    cJSON_AddStringToObject(j, "task", TASK_NAMES[s->task[i]]);
    json_add_real(j, "weight", (double)s->weight[i]);
    json_add_int(j, "expanded", s->exp_len[i]);
    json_add_int(j, "trained", count_labels(w, i));
    cJSON_AddStringToObject(j, "image_tokens", w->labels.name);
    cJSON *tokens = cJSON_AddArrayToObject(j, "tokens");
    for (uint64_t t = s->tok_off[i]; t < s->tok_off[i + 1]; t++) {
        cJSON *token = json_add(tokens, NULL, cJSON_CreateObject());
        json_add_int(token, "id", s->id[t]);
        cJSON_AddStringToObject(token, "piece", word_of(w, s->id[t]));
        cJSON_AddStringToObject(token, "kind", KIND_NAMES[s->mask[t] >> MASK_KIND_SHIFT]);
        cJSON_AddBoolToObject(token, "trained", inspect_is_label(s, t, &w->labels));
    }
    cJSON *images = cJSON_AddArrayToObject(j, "images");
    for (int64_t k = 0; k < p->n; k++)
        if (is_asked_for(o, k))
            add_image(images, p, k);
    cJSON_AddStringToObject(j, "line", line);
    return json_print(o->out, &j, JSON_PRETTY, o->path);
}

static void image_text(const InspectOptions *o, const Pictures *p, int64_t k)
{
    const Shard *s = p->s, *holder = holder_of(p, k);
    const int64_t ref = p->first + k;
    uint32_t i = s->ref_image[ref];
    char sha[65], name[64];
    shard_file_name(name, sizeof name, s->ref_shard[ref], s->attr.shard_count);
    fprintf(o->out, "image %" PRId64 ": %s, stored as image %u of %s", k, ROLE_NAMES[s->ref_role[ref]], i, name);
    if (!holder) {
        fprintf(o->out, ", which is not beside this shard\n");
        return;
    }
    sha256_hex(holder->image_sha256[i], sha);
    fprintf(o->out, ", %s %ux%u, %" PRIu64 " bytes, EXIF orientation %d, sha256 %.16s…\n",
            image_format_name((ImageFormat)holder->image_fmt[i]), holder->image_wh[i][0], holder->image_wh[i][1],
            holder->image_off[i + 1] - holder->image_off[i], holder->image_orient[i], sha);
}

static Status decode_picture(Image *out, const Shard *holder, uint32_t i, int64_t max_pixels)
{
    uint64_t n = holder->image_off[i + 1] - holder->image_off[i];
    uint8_t *bytes = mem_alloc(n);
    Reject why;
    Status r = bytes ? shard_image(holder, i, bytes) : fail(ERR_NOMEM, "no memory for image %u", i);
    if (!r)
        r = image_decode(out, bytes, n, max_pixels, &why);
    mem_free(bytes);
    return r;
}

static Status show_picture(const InspectOptions *o, const Pictures *p, int64_t k)
{
    Image im = {0};
    if (!o->show || !holder_of(p, k))
        return OK;
    Status r = decode_picture(&im, holder_of(p, k), p->s->ref_image[p->first + k], IMAGE_MAX_PIXELS);
    if (!r)
        r = inspect_show(o->out, &im);
    image_free(&im);
    return r;
}

static Status sample_text(const InspectOptions *o, const Pictures *p, const Words *w, const char *line)
{
    const Shard *s = p->s;
    const int64_t i = o->sample;
    char note[128];
    fprintf(o->out, "sample %" PRId64 " of ", i);
    utf8_cell(o->out, s->path, 0);
    fprintf(o->out, ": record %u, source %d, task %s, weight %g\n", s->record[i], s->source[i], TASK_NAMES[s->task[i]],
            (double)s->weight[i]);
    fprintf(o->out, "%" PRIu64 " tokens, %u with the images expanded, %" PRId64 " trained (*)%s%s\n\n", s->tok_off[i + 1] - s->tok_off[i],
            s->exp_len[i], count_labels(w, i), inspect_labels_note(note, o, s, &w->labels),
            w->tok ? "" : "; pieces unknown: the tokenizer is not where it was, give --config RUN.json");
    int64_t position = 0;
    for (uint64_t t = s->tok_off[i]; t < s->tok_off[i + 1]; t++) {
        unsigned kind = (unsigned)s->mask[t] >> MASK_KIND_SHIFT;
        fprintf(o->out, "%6" PRId64 " %c %6d  %-6s ", position, inspect_is_label(s, t, &w->labels) ? '*' : ' ', s->id[t], KIND_NAMES[kind]);
        utf8_cell(o->out, word_of(w, s->id[t]), 0);
        fputc('\n', o->out);
        position += kind == KIND_IMAGE ? s->attr.patches : 1;
    }
    fputc('\n', o->out);
    for (int64_t k = 0; k < p->n; k++)
        if (is_asked_for(o, k)) {
            image_text(o, p, k);
            TRY(show_picture(o, p, k));
        }
    fputs("line: ", o->out);
    utf8_cell(o->out, line, 0);
    fputc('\n', o->out);
    return OK;
}

static Status show_sample(const InspectOptions *o, const Pictures *p)
{
    char *line;
    size_t n;
    Words w;
    TRY(shard_text(p->s, o->sample, &line, &n));
    Status r = open_words(&w, o, p->s);
    if (!r && o->json)
        r = sample_json(o, p, &w, line);
    else if (!r)
        r = sample_text(o, p, &w, line);
    close_words(&w);
    mem_free(line);
    return r;
}

Status inspect_sample(const InspectOptions *o, const Shard *s)
{
    Pictures p;
    TRY(open_pictures(&p, o, s));
    Status r = show_sample(o, &p);
    close_pictures(&p);
    return r;
}

/* ---------------------------------------------------------------- pixels */

/* How the run of --config looks at a picture: the diffusion model at targets, the vision tower at all others. */
static Status load_prep(const InspectOptions *o, ImageRole role, ImagePrep *prep)
{
    RunConfig cfg;
    Preprocessor p = {0};
    Status s = OK;
    TRY(config_load(&cfg, o->config, NULL, 0));
    if (role == ROLE_TARGET && cfg.model.diffusion.path)
        *prep = image_prep_target((int32_t)cfg.model.diffusion.size, cfg.data.max_pixels);
    else {
        s = cfg.model.vision.path ? preprocessor_load(&p, cfg.model.vision.path, cfg.model.vision.aspect == ASPECT_PAD)
                                  : fail(ERR_USAGE, "%s has no vision tower (model.vision.path)", o->config);
        p.prep.max_pixels = cfg.data.max_pixels;
        *prep = p.prep;
    }
    config_free(&cfg);
    return s;
}

/* Picture i of a shard, decoded and prepared, as a PPM file. */
static Status write_pixels(const InspectOptions *o, const ImagePrep *prep, const Shard *holder, uint32_t i)
{
    uint8_t *rgb = mem_alloc((size_t)prep->width * (size_t)prep->height * 3);
    Image im = {0};
    Status r = rgb ? decode_picture(&im, holder, i, prep->max_pixels) : fail(ERR_NOMEM, "no memory for image %u", i);
    if (!r)
        r = image_prepare(rgb, &im, prep);
    if (!r)
        r = image_write_ppm(o->pixels, rgb, prep->width, prep->height);
    image_free(&im);
    mem_free(rgb);
    return r;
}

Status inspect_pixels(const InspectOptions *o, const Shard *s)
{
    InspectOptions one = *o;
    ImagePrep prep;
    Pictures p;
    one.image = o->image < 0 ? 0 : o->image;
    if (!o->config)
        return fail(ERR_USAGE, "--pixels needs --config RUN.json: its networks say how pictures are prepared for them");
    if (o->sample < s->attr.n_samples && s->img_off[o->sample] == s->img_off[o->sample + 1])
        return fail(ERR_USAGE, "sample %" PRId64 " of %s has no image", o->sample, s->path);
    TRY(open_pictures(&p, &one, s));
    const int64_t ref = p.first + one.image;
    const Shard *holder = holder_of(&p, one.image);
    Status r = holder ? load_prep(o, (ImageRole)s->ref_role[ref], &prep)
                      : fail(ERR_MISSING, "sample %" PRId64 " of %s shows image %u of shard %u of its set, which is not beside it",
                             o->sample, s->path, s->ref_image[ref], s->ref_shard[ref]);
    if (!r)
        r = write_pixels(o, &prep, holder, s->ref_image[ref]);
    close_pictures(&p);
    return r;
}
