/* picture_net.c: opens a network of pictures and runs it, a few pictures or texts at a time (picture_net.h). */
#include "eval/features/picture_net.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/file.h"
#include "data/formats/sha256.h"
#include "data/pictures/picture_file.h"
#include "eval/features/network.h"

static const NetworkKind *const KINDS[] = {&CLIP_NET, &VIT_NET, &INCEPTION_NET};
const char *const PICTURE_NET_DEVICES[] = {"auto", "cpu", "cuda", NULL};
enum { N_NETS = sizeof KINDS / sizeof *KINDS };

/* ---------------------------------------------------------------- the tower of CLIP and ViT */

Status tower_prepare(const PictureNet *n, const Image *in, void *out) { return image_prepare(out, in, &n->preprocessor.prep); }

PatchSpec tower_pixels(Tape *t, const PictureNet *n, const void *pictures, int64_t items)
{
    const Preprocessor *p = &n->preprocessor;
    PatchSpec spec = {.images = items, .height = p->prep.height, .width = p->prep.width, .patch = n->tower.config.patch,
                      .rescale = p->rescale, .pixels = tape_bytes(t, pictures, items * (int64_t)n->picture_bytes)};
    memcpy(spec.mean, p->mean, sizeof spec.mean);
    memcpy(spec.std, p->std, sizeof spec.std);
    return spec;
}

Tensor *tower_class_rows(Tape *t, const PictureNet *n, Tensor *rows, int64_t items)
{
    int32_t *row = tape_host(t, (size_t)items * sizeof *row);
    for (int64_t i = 0; row && i < items; i++)
        row[i] = (int32_t)(i * (siglip_patches(&n->tower.config) + 1));
    return row ? nn_gather_rows(t, rows, tape_ints(t, row, items), items) : NULL;
}

/* ---------------------------------------------------------------- widths */

Status network_width(const Weights *w, const char *tensor, const char *expected, int64_t *out)
{
    enum { MOST = 1 << 16 };
    const StTensor *t = safetensors_find(w->st, tensor);
    if (!t)
        return fail(ERR_DATA, "%s: no tensor %s in it, expected %s", w->path, tensor, expected);
    *out = t->n_dims ? t->shape[0] : 0;
    return *out >= 1 && *out <= MOST ? OK : fail(ERR_DATA, "%s: %s has %" PRId64 " rows, expected 1 to %d", w->path, tensor, *out, MOST);
}

/* ---------------------------------------------------------------- passes */

typedef struct Pass {
    const PictureNet *net;
    const void *pictures; /* NULL: of texts, or nothing has values */
    const int32_t *ids;
    bool of_texts;
    int64_t items;
} Pass;

static Tensor *compute(Tape *t, const void *arg)
{
    const Pass *p = arg;
    return p->of_texts ? p->net->kind->texts(t, p->net, p->ids, p->items) : p->net->kind->pictures(t, p->net, p->pictures, p->items);
}

/* ---------------------------------------------------------------- opening */

static Status find_kind(PictureNet *n, JsonFields *f)
{
    char known[128] = "";
    const char *type = fields_string(f, f->top, "model_type", "");
    TRY(f->status);
    for (int i = 0; i < N_NETS; i++) {
        if (!strcmp(type, KINDS[i]->type))
            n->kind = KINDS[i];
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s\"%s\"", !i ? "" : i + 1 < N_NETS ? ", " : " or ", KINDS[i]->type);
    }
    if (!n->kind)
        fields_refuse(f, json_get(f->top, "model_type"), "model_type", "is \"%s\", expected %s", type, known);
    return f->status;
}

static Status configure_folder(PictureNet *n)
{
    JsonFields f;
    TRY(fields_open(&f, n->path, "config.json"));
    Status s = find_kind(n, &f);
    if (!s)
        s = n->kind->configure(n, &f);
    fields_close(&f);
    return s;
}

static void describe_preprocessor(PictureNet *n)
{
    static const char *const FILTERS[] = {"nearest", "Lanczos", "bilinear", "bicubic"};
    const Preprocessor *p = &n->preprocessor;
    char size[96];
    if (p->prep.shorter)
        snprintf(size, sizeof size, "shorter side %d %s, middle %dx%d (begins rounded %s)", p->prep.shorter, FILTERS[p->prep.filter],
                 p->prep.width, p->prep.height, p->prep.rounds ? "to the nearest" : "down");
    else
        snprintf(size, sizeof size, "%dx%d %s", p->prep.width, p->prep.height, FILTERS[p->prep.filter]);
    snprintf(n->preparation, sizeof n->preparation, "%s, times %.9g, mean %.9g %.9g %.9g, std %.9g %.9g %.9g", size, p->rescale, p->mean[0],
             p->mean[1], p->mean[2], p->std[0], p->std[1], p->std[2]);
}

/* A file of weights alone is Inception's, which has no settings. */
static Status configure(PictureNet *n, bool crops_as_openai)
{
    struct stat st;
    n->is_file = !stat(n->path, &st) && S_ISREG(st.st_mode);
    if (n->is_file) {
        n->kind = &INCEPTION_NET;
        return n->kind->configure(n, NULL);
    }
    TRY(configure_folder(n));
    const ImagePrep *prep = &n->preprocessor.prep;
    if (n->picture_bytes)
        return OK;
    n->picture_bytes = (size_t)prep->width * (size_t)prep->height * 3;
    n->preprocessor.prep.rounds |= crops_as_openai;
    describe_preprocessor(n);
    return OK;
}

static Status load(PictureNet *n)
{
    params_init(&n->params, &n->runner.backend, F32);
    n->params.group.part = n->kind->type;
    TRY(n->kind->declare(n));
    TRY(params_create(&n->params));
    return n->kind->load(n);
}

static Status create(PictureNet *n, const PictureNetOptions *options)
{
    TRY(configure(n, options->crops_as_openai));
    TRY(runner_open(&n->runner, options->device));
    TRY(load(n));
    const int64_t staging = PICTURE_NET_BATCH * (int64_t)n->picture_bytes;
    TRY(runner_reserve(&n->runner, n->path, staging, compute, &(Pass){.net = n, .items = PICTURE_NET_BATCH}));
    if (n->kind->reads_texts)
        TRY(runner_reserve(&n->runner, n->path, staging, compute, &(Pass){.net = n, .of_texts = true, .items = PICTURE_NET_BATCH}));
    n->staging = mem_alloc(PICTURE_NET_BATCH * n->picture_bytes);
    n->ids = mem_alloc((size_t)(PICTURE_NET_BATCH * n->text.config.length) * sizeof *n->ids);
    return n->staging && n->ids ? OK : fail(ERR_NOMEM, "no memory for %d pictures", PICTURE_NET_BATCH);
}

Status picture_net_open(PictureNet **out, const char *folder, const PictureNetOptions *options)
{
    static const PictureNetOptions DEFAULTS = {.device = DEVICE_AUTO};
    PictureNet *n = *out = mem_alloc(sizeof *n);
    if (!n)
        return fail(ERR_NOMEM, "no memory for a network");
    snprintf(n->path, sizeof n->path, "%s", folder);
    Status s = create(n, options ? options : &DEFAULTS);
    if (s) {
        picture_net_close(out);
        return s;
    }
    n->info.kind = n->kind->type;
    n->info.reads_texts = n->kind->reads_texts;
    n->info.preparation = n->preparation;
    return OK;
}

void picture_net_close(PictureNet **net)
{
    PictureNet *n = *net;
    if (!n)
        return;
    params_destroy(&n->params);
    weights_close(&n->weights);
    mem_free(n->tower.blocks);
    mem_free(n->text.blocks);
    mem_free(n->inception);
    runner_close(&n->runner);
    clip_tokenizer_close(&n->text.tokenizer);
    mem_free(n->staging);
    mem_free(n->ids);
    mem_free(n);
    *net = NULL;
}

const PictureNetInfo *picture_net_info(const PictureNet *n) { return &n->info; }

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

Status picture_net_digest(const PictureNet *n, char out[65])
{
    const SafeTensors *st = n->weights.st;
    const int tensors = safetensors_count(st);
    const char **files = mem_alloc((size_t)tensors * sizeof *files);
    char *digests = mem_alloc((size_t)tensors * 64 + 1);
    int count = 0, named = 0;
    uint8_t digest[32];
    Status s = files && digests ? OK : fail(ERR_NOMEM, "no memory for the names of weights");
    for (int i = 0; i < tensors && !s; i++)
        files[named++] = safetensors_at(st, i)->file;
    qsort(files, (size_t)named, sizeof *files, by_text);
    for (int i = 0; i < named && !s; i++)
        if (!i || strcmp(files[i], files[i - 1]))
            s = sha256_file(files[i], digests + 64 * count++, NULL);
    if (!s && count > 1) {
        sha256_of(digests, 64 * (size_t)count, digest);
        sha256_hex(digest, out);
    } else if (!s) {
        memcpy(out, digests, 65);
    }
    mem_free(files);
    mem_free(digests);
    return s;
}

/* ---------------------------------------------------------------- pictures */

/* Where pictures come from: files, or memory. */
typedef struct Source {
    const char *root;
    const char *const *paths;
    const Image *images;
} Source;

static Status load_file(const PictureNet *n, const Source *from, int64_t i, uint8_t *to)
{
    PictureBuffer file = {0};
    Image image = {0};
    Reject reject;
    TRY(picture_load(&file, from->root, from->paths[i]));
    Status s = image_decode(&image, file.bytes, file.n, IMAGE_MAX_PIXELS, &reject);
    picture_buffer_free(&file);
    if (!s)
        s = n->kind->prepare(n, &image, to);
    image_free(&image);
    return fail_context(s, "picture %s", file_name(from->paths[i]));
}

/* Each picture by a thread; of several that cannot be read the first one is named. */
static Status stage(const PictureNet *n, const Source *from, int64_t at, int64_t items)
{
    Status results[PICTURE_NET_BATCH] = {OK};
    char *messages[PICTURE_NET_BATCH] = {NULL};
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < items; i++) {
        uint8_t *to = n->staging + (size_t)i * n->picture_bytes;
        results[i] = from->paths ? load_file(n, from, at + i, to) : n->kind->prepare(n, &from->images[at + i], to);
        if (results[i])
            messages[i] = mem_strdup(status_message());
    }
    Status s = OK;
    for (int64_t i = 0; i < items; i++) {
        if (!s && results[i])
            s = fail(results[i], "%s", messages[i] ? messages[i] : "a picture cannot be read");
        mem_free(messages[i]);
    }
    return s;
}

static Status all_pictures(PictureNet *n, const Source *from, int64_t count, float *features)
{
    for (int64_t at = 0, items; at < count; at += items) {
        items = count - at < PICTURE_NET_BATCH ? count - at : PICTURE_NET_BATCH;
        TRY(stage(n, from, at, items));
        TRY(runner_run(&n->runner, compute, &(Pass){.net = n, .pictures = n->staging, .items = items}, features + at * n->info.width));
    }
    return OK;
}

Status picture_net_pictures(PictureNet *n, const char *root, const char *const *paths, int64_t count, float *features)
{
    return all_pictures(n, &(Source){.root = root, .paths = paths}, count, features);
}

Status picture_net_images(PictureNet *n, const Image *images, int64_t count, float *features)
{
    return all_pictures(n, &(Source){.images = images}, count, features);
}

/* ---------------------------------------------------------------- texts */

static Status tokenize(PictureNet *n, const char *text, int32_t *ids, int64_t *truncated)
{
    int32_t tokens;
    TRY(clip_token_count(n->text.tokenizer, text, &tokens));
    *truncated += tokens > n->text.config.length;
    return clip_tokenize(n->text.tokenizer, text, (int32_t)n->text.config.length, ids);
}

Status picture_net_texts(PictureNet *n, const char *const *texts, int64_t count, float *features, int64_t *truncated)
{
    if (!n->kind->reads_texts)
        return fail(ERR_USAGE, "%s: a network of model_type \"%s\" reads no texts, expected \"%s\"", n->path, n->kind->type, CLIP_NET.type);
    for (int64_t at = 0, items; at < count; at += items) {
        items = count - at < PICTURE_NET_BATCH ? count - at : PICTURE_NET_BATCH;
        for (int64_t i = 0; i < items; i++)
            TRY(tokenize(n, texts[at + i], n->ids + i * n->text.config.length, truncated));
        TRY(runner_run(&n->runner, compute, &(Pass){.net = n, .ids = n->ids, .of_texts = true, .items = items},
                       features + at * n->info.width));
    }
    return OK;
}
