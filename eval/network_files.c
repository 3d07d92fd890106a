/* network_files.c: computes files of features of a benchmark's drawings (network_files.h). Called by evaluate BENCH score and by suites. */
#include "eval/network_files.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/pictures/picture_file.h"
#include "eval/features/feature_file.h"
#include "eval/features/lpips.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "train/dist/signals.h"

enum { BLOCK = 8 * PICTURE_NET_BATCH }; /* rows that are computed before they are written */

/* The drawings that are there, a row each; texts lie in the pool. */
typedef struct DrawnRows {
    Pool pool;
    const char *made_folder, *goal_folder;
    const char **name, **made, **goal, **text; /* [n]; text NULL: nobody says */
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
    TRY(grow(&r->made, r->room));
    TRY(grow(&r->goal, r->room));
    return grow(&r->text, r->room);
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
    r->made[r->n] = span_copy(&r->pool, span_of(path)).s;
    r->goal[r->n] = q->goal ? path_in(&r->pool, r->goal_folder, q->goal) : NULL;
    r->text[r->n] = q->caption.n ? span_copy(&r->pool, q->caption).s : NULL;
    r->n++;
    return pool_status(&r->pool);
}

static void free_rows(DrawnRows *r)
{
    pool_free(&r->pool);
    mem_free(r->name);
    mem_free(r->made);
    mem_free(r->goal);
    mem_free(r->text);
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

/* ---------------------------------------------------------------- a file */

/* A file to be made: rows that have a source, of one network. */
typedef struct Making {
    PictureNet *net;
    const char **name, **source; /* [n] */
    int64_t n;
    bool is_text;
    int32_t square_side; /* 0: pictures as they are */
    int64_t truncated;
    float *features; /* [BLOCK, width] */
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

static Status compute_squares(const Making *m, int64_t first, int64_t n)
{
    Image images[BLOCK] = {{0}};
    PictureBuffer buf = {0};
    Status s = OK;
    for (int64_t i = 0; i < n && !s; i++)
        s = load_square(&images[i], &buf, m->source[first + i], m->square_side);
    if (!s)
        s = picture_net_images(m->net, images, n, m->features);
    for (int64_t i = 0; i < n; i++)
        image_free(&images[i]);
    picture_buffer_free(&buf);
    return s;
}

static Status compute(Making *m, int64_t first, int64_t n)
{
    if (m->is_text)
        return picture_net_texts(m->net, m->source + first, n, m->features, &m->truncated);
    return m->square_side ? compute_squares(m, first, n) : picture_net_pictures(m->net, NULL, m->source + first, n, m->features);
}

static Status compute_all(Making *m, FeatureFile *file, const char *what)
{
    for (int64_t at = 0, n; at < m->n; at += n) {
        n = m->n - at < BLOCK ? m->n - at : BLOCK;
        TRY(check_signals());
        TRY(compute(m, at, n));
        TRY(feature_file_write(file, 0, at, n, m->features));
        log_progress("%s: %" PRId64 " of %" PRId64, what, at + n, m->n);
    }
    log_progress_end();
    if (m->truncated)
        log_warn("%" PRId64 " captions have more tokens than the network takes and were cut", m->truncated);
    return OK;
}

static Status write_file(Making *m, const char *path, const char *what)
{
    static const char *const ARRAYS[] = {"/feat", NULL};
    const PictureNetInfo *info = picture_net_info(m->net);
    FeatureFile file;
    if (m->is_text && !info->reads_texts)
        return fail(ERR_USAGE, "this network (%s) reads no texts, expected CLIP", info->kind);
    m->features = mem_alloc((size_t)(BLOCK * info->width) * sizeof *m->features);
    if (!m->features)
        return fail(ERR_NOMEM, "no memory for %d features", BLOCK);
    Status s = feature_file_create(&file, path, m->net, "/name", (char *const *)(void *)m->name, m->n, ARRAYS);
    if (!s)
        s = feature_file_close(&file, compute_all(m, &file, what));
    mem_free(m->features);
    return s;
}

/* Of the rows those that have a source. */
static Status make_file(const DrawnRows *r, const char *const *sources, Making *m, const char *path, const char *what)
{
    m->name = mem_alloc((size_t)(r->n + 1) * sizeof *m->name);
    m->source = mem_alloc((size_t)(r->n + 1) * sizeof *m->source);
    if (!m->name || !m->source) {
        mem_free(m->name);
        mem_free(m->source);
        return fail(ERR_NOMEM, "no memory for %" PRId64 " names", r->n);
    }
    for (int64_t i = 0; i < r->n; i++)
        if (sources[i]) {
            m->name[m->n] = r->name[i];
            m->source[m->n++] = sources[i];
        }
    Status s = m->n ? write_file(m, path, what) : OK;
    mem_free(m->name);
    mem_free(m->source);
    return s;
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

static Status compare_all(const DrawnRows *r, Lpips *l, int32_t side, float *distances)
{
    for (int64_t i = 0; i < r->n; i++) {
        double distance;
        TRY(check_signals());
        TRY_IN(side ? compare_stretched(l, r->made[i], r->goal[i], side, &distance) : lpips_files(l, r->made[i], r->goal[i], &distance),
               "%s", r->name[i]);
        distances[i] = (float)distance;
        log_progress("lpips: %" PRId64 " of %" PRId64, i + 1, r->n);
    }
    log_progress_end();
    return OK;
}

static Status fill_distances(HdfFile *f, const DrawnRows *r, const float *distances)
{
    HdfRows rows;
    TRY(hdf_set_text(f, "/", "model", "lpips"));
    TRY(hdf_write_texts(f, "/name", r->name, (uint64_t)r->n));
    TRY(hdf_rows_create(f, &rows, "/feat", (uint64_t)r->n, 1));
    return hdf_rows_write(f, &rows, 0, (uint64_t)r->n, distances);
}

/* The folder may be kept, so the file appears whole. */
static Status write_distances(const DrawnRows *r, const float *distances, const char *folder)
{
    char path[PATH_MAX], hidden[PATH_MAX];
    HdfFile *f;
    TRY(file_remove(file_join(hidden, folder, ".lpips.h5.partial")));
    TRY(hdf_create(&f, hidden, 0));
    Status s = fill_distances(f, r, distances), closed = hdf_close(&f);
    s = s ? s : closed;
    return s ? s : file_rename(hidden, file_join(path, folder, "lpips.h5"));
}

static Status run_lpips(const DrawnRows *r, const char *weights, const Bench *b, const char *folder)
{
    Lpips *l;
    if (!weights || !r->n || networks_has_file(folder, FEATURE_LPIPS))
        return OK;
    if (!wanted(b, FEATURE_LPIPS))
        return refuse_network(b, FEATURE_LPIPS);
    float *distances = mem_alloc((size_t)r->n * sizeof *distances);
    if (!distances)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " distances", r->n);
    Status s = lpips_open(&l, weights, DEVICE_AUTO);
    if (!s)
        s = compare_all(r, l, b->lpips_side, distances);
    if (!s)
        s = write_distances(r, distances, folder);
    lpips_close(&l);
    mem_free(distances);
    return s;
}

/* ---------------------------------------------------------------- the folder */

/* The files of a network. */
typedef struct NetworkFiles {
    const char *weights;
    bool of_openai, is_square;
    FeatureKind made, goal, text; /* text N_FEATURES: it reads none */
} NetworkFiles;

/* A file that is there is of this network, as far as it says. */
static Status check_maker(const char *path, const PictureNet *net, const char *weights)
{
    char made[65], given[65];
    bool found;
    HdfFile *f;
    TRY(hdf_open(&f, path));
    Status s = hdf_text_of(f, "/", "weights_sha256", made, sizeof made, &found), closed = hdf_close(&f);
    TRY(s ? s : closed);
    if (!found)
        return OK;
    TRY(picture_net_digest(net, given));
    if (strcmp(made, given))
        return fail(ERR_USAGE, "%s: was made by other weights than those of %s (weights_sha256 %.8s… and %.8s…); remove it, or give "
                               "another --features", path, weights, made, given);
    return OK;
}

static Status make_kind(const DrawnRows *r, const char *const *sources, PictureNet *net, const NetworkFiles *f, FeatureKind k,
                        const Bench *b, const char *folder)
{
    char path[PATH_MAX], name[64];
    Making m = {.net = net, .is_text = k == f->text, .square_side = f->is_square ? b->square_side : 0};
    snprintf(name, sizeof name, "%s.h5", FEATURE_NAMES[k]);
    file_join(path, folder, name);
    if (!wanted(b, k))
        return OK;
    if (networks_has_file(folder, k))
        return file_exists(path) ? check_maker(path, net, f->weights) : OK;
    return make_file(r, sources, &m, path, FEATURE_NAMES[k]);
}

static Status run_network(const DrawnRows *r, const NetworkFiles *f, const Bench *b, const char *folder, bool goals)
{
    PictureNet *net;
    const PictureNetOptions options = {.crops_as_openai = f->of_openai && b->of_openai};
    if (!f->weights || !r->n)
        return OK;
    if (!wanted(b, f->made))
        return refuse_network(b, f->made);
    TRY(picture_net_open(&net, f->weights, &options));
    Status s = make_kind(r, r->made, net, f, f->made, b, folder);
    if (!s && goals)
        s = make_kind(r, r->goal, net, f, f->goal, b, folder);
    if (!s && f->text != N_FEATURES)
        s = make_kind(r, r->text, net, f, f->text, b, folder);
    picture_net_close(&net);
    return s;
}

static Status fill_folder(const NetworkFolders *n, const Bench *b, const BenchData *d, const char *made, const char *folder)
{
    const NetworkFiles networks[] = {
        {n->clip, true, false, FEATURE_CLIP_MADE, FEATURE_CLIP_GOAL, FEATURE_CLIP_TEXT},
        {n->dino, false, false, FEATURE_DINO_MADE, FEATURE_DINO_GOAL, N_FEATURES},
        {n->inception, false, true, FEATURE_INCEPTION_MADE, FEATURE_INCEPTION_GOAL, N_FEATURES},
    };
    DrawnRows r = {.made_folder = made, .goal_folder = d->dir, .shares_names = d->gill_compat};
    Status s = bench_drawings(b, d, add_row, &r);
    for (size_t i = 0; i < sizeof networks / sizeof *networks && !s; i++)
        s = run_network(&r, &networks[i], b, folder, !(networks[i].is_square && n->reference));
    if (!s)
        s = run_lpips(&r, n->lpips, b, folder);
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
    if (!computes)
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
