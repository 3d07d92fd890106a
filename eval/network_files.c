/* network_files.c: computes files of features of a benchmark's drawings (network_files.h). Called by evaluate BENCH score and by suites. */
#include "eval/network_files.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/sha256.h"
#include "data/pictures/picture_file.h"
#include "eval/features/lpips.h"
#include "eval/kept_features.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "train/dist/signals.h"

/* What the rows of a file are made of. */
typedef struct Sources {
    const char **item;   /* [n] paths or texts; NULL: there is none */
    const char **digest; /* [n] SHA-256; NULL: not known, or there is no such picture. The array NULL: nobody has asked */
} Sources;

/* The drawings that are there, a row each; texts lie in the pool. */
typedef struct DrawnRows {
    Pool pool;
    const char *made_folder, *goal_folder;
    const char **name;              /* [n] */
    Sources made, goal, text, both; /* both: for LPIPS, digests alone */
    int64_t n, room;
    bool shares_names; /* several drawings may have one name */
} DrawnRows;

static Status grow(const char ***array, int64_t room)
{
    const char **more = mem_grow(*array, (size_t)room * sizeof *more);
    if (!more)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " drawings", room);
    *array = more;
    return OK;
}

static Status reserve_rows(DrawnRows *r)
{
    if (r->n < r->room)
        return OK;
    r->room = 2 * r->room + 1024;
    TRY(grow(&r->name, r->room));
    TRY(grow(&r->made.item, r->room));
    TRY(grow(&r->goal.item, r->room));
    return grow(&r->text.item, r->room);
}

static const char *path_in(Pool *p, const char *folder, const char *name)
{
    char path[PATH_MAX];
    return span_copy(p, span_of(file_join(path, folder, name))).s;
}

/* As GILL names drawings, several stories have one, with the same goal. */
static bool is_there(const DrawnRows *r, Span name)
{
    for (int64_t i = 0; i < r->n; i++)
        if (span_is(name, r->name[i]))
            return true;
    return false;
}

static Status add_row(void *arg, const BenchDrawing *q)
{
    DrawnRows *r = arg;
    char path[PATH_MAX];
    if (!bench_find_drawing(path, r->made_folder, q->name, q->edits))
        return OK;
    if (r->shares_names && is_there(r, networks_row(q->name)))
        return OK;
    TRY(reserve_rows(r));
    r->name[r->n] = span_copy(&r->pool, networks_row(q->name)).s;
    r->made.item[r->n] = span_copy(&r->pool, span_of(path)).s;
    r->goal.item[r->n] = q->goal ? path_in(&r->pool, r->goal_folder, q->goal) : NULL;
    r->text.item[r->n] = q->caption.n ? span_copy(&r->pool, q->caption).s : NULL;
    r->n++;
    return pool_status(&r->pool);
}

static void free_rows(DrawnRows *r)
{
    pool_free(&r->pool);
    mem_free(r->name);
    Sources *const all[] = {&r->made, &r->goal, &r->text, &r->both};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        mem_free(all[i]->item);
        mem_free(all[i]->digest);
    }
}

static bool wanted(const Bench *b, FeatureKind k) { return k < N_FEATURES && b->networks && strstr(b->networks, FEATURE_NAMES[k]); }

static Status refuse_network(const Bench *b, FeatureKind k)
{
    return fail(ERR_USAGE, "evaluate %s: has no score by %s; its scores are: %s", b->name, FEATURE_NAMES[k], b->metric);
}

/* In a suite signals are only noted. */
static Status check_signals(void)
{
    const int signal = signals_received();
    return signal ? fail(ERR_PREEMPTED, "%s", signals_name(signal)) : OK;
}

/* ---------------------------------------------------------------- what rows are made of */

static Status keep_digest(DrawnRows *r, const char **to, const void *bytes, size_t n)
{
    uint8_t digest[32];
    char hex[65];
    sha256_of(bytes, n, digest);
    sha256_hex(digest, hex);
    *to = span_copy(&r->pool, span_of(hex)).s;
    return pool_status(&r->pool);
}

static Status digest_picture(DrawnRows *r, const char **to, PictureBuffer *buf, const char *path)
{
    Status s = picture_load(buf, NULL, path);
    if (s == ERR_MISSING)
        return OK;
    return s ? s : keep_digest(r, to, buf->bytes, buf->n);
}

static Status digest_both(DrawnRows *r, const char **to, const char *made, const char *goal)
{
    char both[129];
    if (!made || !goal)
        return OK;
    snprintf(both, sizeof both, "%s%s", made, goal);
    return keep_digest(r, to, both, strlen(both));
}

static Status digest_all(DrawnRows *r, Sources *of)
{
    PictureBuffer buf = {0};
    Status s = OK;
    for (int64_t i = 0; i < r->n && !s; i++) {
        const char *item = of->item ? of->item[i] : NULL;
        s = check_signals();
        if (!s && of == &r->both)
            s = digest_both(r, &of->digest[i], r->made.digest[i], r->goal.digest[i]);
        else if (!s && item)
            s = of == &r->text ? keep_digest(r, &of->digest[i], item, strlen(item)) : digest_picture(r, &of->digest[i], &buf, item);
    }
    picture_buffer_free(&buf);
    return s;
}

static Status find_digests(DrawnRows *r, Sources *of)
{
    if (of->digest)
        return OK;
    if (of == &r->both) {
        TRY(find_digests(r, &r->made));
        TRY(find_digests(r, &r->goal));
    }
    of->digest = mem_alloc((size_t)(r->n + 1) * sizeof *of->digest);
    return of->digest ? digest_all(r, of) : fail(ERR_NOMEM, "no memory for %" PRId64 " drawings", r->n);
}

/* ---------------------------------------------------------------- a file */

/* A file, what makes it, and its rows: those that have a source. */
typedef struct Making {
    FeatureKind kind;
    const char *weights, *flag; /* weights NULL: not given; flag: the option that gives them */
    PictureNet *net;            /* of pictures and texts … */
    Lpips *lpips;               /* … or of pairs */
    int32_t square_side;        /* of pictures: 0: as they are; of pairs: both are stretched to it, 0: to the goal */
    bool is_text;
    const char **name, **item, **goal, **digest; /* [n]; goal: of pairs */
    int64_t n, truncated;
} Making;

/* Leaves the square in the middle, where it lies. */
static void crop_middle(Image *im)
{
    const int32_t side = im->width < im->height ? im->width : im->height;
    const uint8_t *from = im->rgb + 3 * ((size_t)((im->height - side) / 2) * (size_t)im->width + (size_t)((im->width - side) / 2));
    for (int32_t y = 0; y < side; y++)
        memmove(im->rgb + 3 * (size_t)y * (size_t)side, from + 3 * (size_t)y * (size_t)im->width, 3 * (size_t)side);
    im->width = im->height = side;
}

/* The middle of a picture, then resized. */
static Status load_square(Image *out, PictureBuffer *buf, const char *path, int32_t side)
{
    Image middle;
    TRY(picture_decode(&middle, buf, path));
    crop_middle(&middle);
    Status s = image_resize(out, &middle, side, side, FILTER_BICUBIC);
    image_free(&middle);
    return s;
}

static Status compute_squares(const Making *m, const char *const *paths, int64_t n, float *features)
{
    Image images[KEPT_BLOCK] = {{0}};
    PictureBuffer buf = {0};
    Status s = OK;
    for (int64_t i = 0; i < n && !s; i++)
        s = load_square(&images[i], &buf, paths[i], m->square_side);
    if (!s)
        s = picture_net_images(m->net, images, n, features);
    for (int64_t i = 0; i < n; i++)
        image_free(&images[i]);
    picture_buffer_free(&buf);
    return s;
}

static Status compute_rows(void *arg, const int64_t *rows, int64_t n, float *features)
{
    Making *m = arg;
    const char *items[KEPT_BLOCK];
    TRY(check_signals());
    for (int64_t i = 0; i < n; i++)
        items[i] = m->item[rows[i]];
    if (m->is_text)
        return picture_net_texts(m->net, items, n, features, &m->truncated);
    return m->square_side ? compute_squares(m, items, n, features) : picture_net_pictures(m->net, NULL, items, n, features);
}

/* ---------------------------------------------------------------- LPIPS */

static Status load_stretched(Image *out, PictureBuffer *buf, const char *path, int32_t side)
{
    Image whole;
    TRY(picture_decode(&whole, buf, path));
    Status s = image_resize(out, &whole, side, side, FILTER_BILINEAR);
    image_free(&whole);
    return s;
}

/* As GILL has it: both are stretched first, with the antialiasing of Pillow. */
static Status compare_stretched(Lpips *l, const char *made, const char *goal, int32_t side, double *distance)
{
    Image a = {0}, b = {0};
    PictureBuffer buf = {0};
    Status s = load_stretched(&a, &buf, made, side);
    if (!s)
        s = load_stretched(&b, &buf, goal, side);
    if (!s)
        s = lpips_pair(l, &a, &b, distance);
    image_free(&a);
    image_free(&b);
    picture_buffer_free(&buf);
    return s;
}

static Status compare_rows(void *arg, const int64_t *rows, int64_t n, float *distances)
{
    const Making *m = arg;
    for (int64_t i = 0; i < n; i++) {
        const char *made = m->item[rows[i]], *goal = m->goal[rows[i]];
        double distance;
        TRY(check_signals());
        TRY_IN(m->square_side ? compare_stretched(m->lpips, made, goal, m->square_side, &distance)
                              : lpips_files(m->lpips, made, goal, &distance),
               "%s", m->name[rows[i]]);
        distances[i] = (float)distance;
    }
    return OK;
}

/* ---------------------------------------------------------------- rows of a file */

static Status allocate_rows(Making *m, int64_t n)
{
    const char ***const arrays[] = {&m->name, &m->item, &m->goal, &m->digest};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (!(*arrays[i] = mem_alloc((size_t)(n + 1) * sizeof **arrays[i])))
            return fail(ERR_NOMEM, "no memory for %" PRId64 " names", n);
    return OK;
}

static void free_making(Making *m)
{
    mem_free(m->name);
    mem_free(m->item);
    mem_free(m->goal);
    mem_free(m->digest);
}

static Sources *sources_of(DrawnRows *r, FeatureKind k)
{
    switch (k) {
    case FEATURE_CLIP_GOAL:
    case FEATURE_DINO_GOAL:
    case FEATURE_INCEPTION_GOAL: return &r->goal;
    case FEATURE_CLIP_TEXT: return &r->text;
    case FEATURE_LPIPS: return &r->both;
    default: return &r->made;
    }
}

static Status collect_rows(Making *m, DrawnRows *r)
{
    Sources *const of = sources_of(r, m->kind);
    const Sources *const items = of == &r->both ? &r->made : of;
    TRY(find_digests(r, of));
    TRY(allocate_rows(m, r->n));
    for (int64_t i = 0; i < r->n; i++) {
        if (!items->item[i])
            continue;
        m->name[m->n] = r->name[i];
        m->item[m->n] = items->item[i];
        m->goal[m->n] = r->goal.item[i];
        m->digest[m->n++] = of->digest[i];
    }
    m->is_text = of == &r->text;
    return OK;
}

static Status maker_of(FeatureMaker *out, const Making *m)
{
    if (m->net)
        return feature_maker(out, m->net);
    *out = (FeatureMaker){.model = "lpips", .width = 1};
    return sha256_file(m->weights, out->weights, NULL);
}

/* The file holds these rows; where no weights are given, what it holds is not of other pictures. */
static Status settle_rows(Making *m, const char *path)
{
    FeatureMaker maker;
    const KeptRows rows = {.name = m->name, .source = m->digest, .n = m->n};
    if (!m->weights)
        return kept_features_check(path, &rows, m->flag);
    if (m->is_text && !picture_net_info(m->net)->reads_texts)
        return fail(ERR_USAGE, "this network (%s) reads no texts, expected CLIP", picture_net_info(m->net)->kind);
    TRY(maker_of(&maker, m));
    TRY(kept_features_make(path, &maker, &rows, m->lpips ? compare_rows : compute_rows, m, m->weights, FEATURE_NAMES[m->kind]));
    if (m->truncated)
        log_warn("%" PRId64 " captions have more tokens than the network takes and were cut", m->truncated);
    return OK;
}

/* A file in another form, of another program, is taken as it is. */
static Status make_kind(DrawnRows *r, Making m, FeatureKind k, const Bench *b, const char *folder)
{
    char path[PATH_MAX], name[64];
    if (!wanted(b, k))
        return OK;
    m.kind = k;
    snprintf(name, sizeof name, "%s.h5", FEATURE_NAMES[k]);
    if (!file_exists(file_join(path, folder, name)) && (!m.weights || networks_has_file(folder, k)))
        return OK;
    Status s = collect_rows(&m, r);
    if (!s && m.n)
        s = settle_rows(&m, path);
    free_making(&m);
    return s;
}

/* ---------------------------------------------------------------- the folder */

/* The files of a network. */
typedef struct NetworkFiles {
    const char *weights, *flag;
    bool of_openai, is_square;
    FeatureKind made, goal, text; /* N_FEATURES: there is none */
} NetworkFiles;

static Status make_files(DrawnRows *r, const Making *m, const NetworkFiles *f, const Bench *b, const char *folder)
{
    TRY(make_kind(r, *m, f->made, b, folder));
    TRY(make_kind(r, *m, f->goal, b, folder));
    return make_kind(r, *m, f->text, b, folder);
}

static Status open_network(Making *m, const NetworkFiles *f, const Bench *b, DeviceChoice device)
{
    const PictureNetOptions options = {.device = device, .crops_as_openai = f->of_openai && b->of_openai};
    return f->made == FEATURE_LPIPS ? lpips_open(&m->lpips, f->weights, device) : picture_net_open(&m->net, f->weights, &options);
}

static Status run_network(DrawnRows *r, const NetworkFiles *f, const Bench *b, const char *folder, DeviceChoice device)
{
    Making m = {.weights = f->weights,
                .flag = f->flag,
                .square_side = f->made == FEATURE_LPIPS ? b->lpips_side
                               : f->is_square           ? b->square_side
                                                        : 0};
    if (!r->n)
        return OK;
    if (f->weights && !wanted(b, f->made))
        return refuse_network(b, f->made);
    Status s = f->weights ? open_network(&m, f, b, device) : OK;
    if (!s)
        s = make_files(r, &m, f, b, folder);
    picture_net_close(&m.net);
    lpips_close(&m.lpips);
    return s;
}

static Status fill_folder(const NetworkFolders *n, const Bench *b, const BenchData *d, const char *made, const char *folder)
{
    const FeatureKind inception_goal = n->reference ? N_FEATURES : FEATURE_INCEPTION_GOAL;
    const NetworkFiles networks[] = {
        {n->clip, "--model DIR", true, false, FEATURE_CLIP_MADE, FEATURE_CLIP_GOAL, FEATURE_CLIP_TEXT},
        {n->dino, "--dino DIR", false, false, FEATURE_DINO_MADE, FEATURE_DINO_GOAL, N_FEATURES},
        {n->inception, "--inception FILE", false, true, FEATURE_INCEPTION_MADE, inception_goal, N_FEATURES},
        {n->lpips, "--lpips FILE", false, false, FEATURE_LPIPS, N_FEATURES, N_FEATURES},
    };
    DrawnRows r = {.made_folder = made, .goal_folder = d->dir, .shares_names = d->gill_compat};
    Status s = bench_drawings(b, d, add_row, &r);
    for (size_t i = 0; i < sizeof networks / sizeof *networks && !s; i++)
        s = run_network(&r, &networks[i], b, folder, (DeviceChoice)n->device);
    free_rows(&r);
    return s;
}

static char temporary[PATH_MAX]; /* a folder, for network_files_abandon */

void network_files_abandon(void)
{
#define MADE(symbol, name) name ".h5",
    static const char *const FILES[] = {FEATURE_LIST(MADE)};
#undef MADE
    feature_file_abandon();
    const int folder = *temporary ? open(temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    for (size_t i = 0; folder >= 0 && i < sizeof FILES / sizeof *FILES; i++)
        unlinkat(folder, FILES[i], 0);
    if (folder >= 0)
        rmdir(temporary);
}

Status network_files_open(Networks **out, const NetworkFolders *n, const Bench *b, const BenchData *d, const char *made)
{
    const bool computes = n->clip || n->dino || n->inception || n->lpips, is_kept = n->features != NULL;
    *out = NULL;
    if ((n->reference || n->inception) && !b->square_side)
        return fail(ERR_USAGE, "evaluate %s: --inception and --reference are for coco, which is scored by FID", b->name);
    if (!computes && (!is_kept || !file_exists(n->features)))
        return networks_open(out, n->features, n->reference, false);
    TRY(is_kept ? file_make_folders(n->features) : file_make_temporary(temporary, "features"));
    const char *const to = is_kept ? n->features : temporary;
    Status s = fill_folder(n, b, d, made, to);
    if (!s)
        return networks_open(out, to, n->reference, !is_kept);
    if (!is_kept)
        networks_remove(temporary);
    return s;
}
