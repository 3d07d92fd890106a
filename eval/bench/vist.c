/* vist.c: VIST as GILL draws it: the last picture of a story, from its five captions and the four pictures before; scored by how like CLIP
 * finds it to the true one. Called through benches.c.
 * Official: SPLIT.story-in-sequence.json. GILL's scripts name a drawing after the last picture, so that stories with the same one overwrite
 * each other: so do we with gill_compat, else a drawing has the story's name. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "kernels/base/log.h"

enum { SCENES = 5 };
extern const Bench BENCH_VIST;

/* A story, as far as it has been read. */
typedef struct Story {
    Span id;
    Span caption[SCENES], photo[SCENES];
    int n;
    int line;
} Story;

typedef struct Pass {
    const BenchData *data;
    char path[PATH_MAX];
    DrawingVisit visit;
    void *arg;
    Pool pool; /* of one drawing */
    int64_t units, left_out;
} Pass;

/* The file of a photo, below the data folder; NULL: it is not there, as many were removed from Flickr. */
static const char *find_photo(Pass *k, Span photo)
{
    static const char *const ENDINGS[] = {"png", "jpg", "jpeg", "gif", "webp"};
    const char *const folders[] = {"", k->data->split, NULL};
    char path[PATH_MAX];
    for (int f = 0; folders[f]; f++)
        for (size_t i = 0; i < sizeof ENDINGS / sizeof *ENDINGS; i++) {
            const Span name =
                span_print(&k->pool, "images/%s%s%.*s.%s", folders[f], *folders[f] ? "/" : "", (int)photo.n, photo.s, ENDINGS[i]);
            if (file_exists(file_join(path, k->data->dir, name.s)))
                return name.s;
        }
    return NULL;
}

/* The captions, and between them a mark for each picture that is shown. */
static Span prompt_of(Pass *k, const Story *s)
{
    switch (k->data->context) {
    case CONTEXT_NONE: return s->caption[SCENES - 1];
    case CONTEXT_CAPTIONS: return span_join(&k->pool, s->caption, SCENES, "\n");
    case CONTEXT_ALL: break;
    }
    return span_join(&k->pool, s->caption, SCENES, "\n<image>\n");
}

static Status ask_story(Pass *k, const Story *s)
{
    const char *photo[SCENES];
    if (s->n != SCENES)
        return fail(ERR_DATA, "%s:%d: the story \"%.*s\" has %d pictures, expected %d", k->path, s->line, (int)s->id.n, s->id.s, s->n,
                    SCENES);
    pool_reset(&k->pool);
    for (int i = 0; i < SCENES; i++)
        if (!(photo[i] = find_photo(k, s->photo[i]))) {
            k->left_out++;
            return pool_status(&k->pool);
        }
    const Span of = k->data->gill_compat ? s->photo[SCENES - 1] : s->id, name = span_print(&k->pool, "%.*s.png", (int)of.n, of.s);
    const BenchDrawing q = {.unit = k->units++,
                            .id = s->id,
                            .name = name.s,
                            .prompt = prompt_of(k, s),
                            .images = photo,
                            .n_images = k->data->context == CONTEXT_ALL ? SCENES - 1 : 0,
                            .goal = photo[SCENES - 1]};
    TRY(pool_status(&k->pool));
    return k->visit(k->arg, &q);
}

/* A row of "annotations" is a list of one object. */
static Status read_scene(Span *story, Span *caption, Span *photo, const Json *row, const char *where)
{
    const Json *o = row->kind == JSON_ARRAY && row->length == 1 ? row->child : row;
    if (o->kind != JSON_OBJECT)
        return fail(ERR_DATA, "%s:%d:%d: is %s, expected a list of one object", where, row->line, row->column, json_kind_name(row->kind));
    TRY(official_text(story, o, "story_id", where));
    TRY(official_text(caption, o, "text", where));
    return official_text(photo, o, "photo_flickr_id", where);
}

/* Scenes of a story follow each other. */
static Status ask_stories(Pass *k, const Json *list)
{
    Story s = {.n = 0};
    for (const Json *row = list->child; row; row = row->next) {
        Span id, caption, photo;
        TRY(read_scene(&id, &caption, &photo, row, k->path));
        if (s.n && !span_equal(id, s.id)) {
            TRY(ask_story(k, &s));
            s = (Story){.n = 0};
        }
        s.id = id;
        s.line = s.n ? s.line : row->line;
        if (s.n < SCENES) {
            s.caption[s.n] = caption;
            s.photo[s.n] = photo;
        }
        s.n++;
    }
    return s.n ? ask_story(k, &s) : OK;
}

static Status drawings(const BenchData *d, DrawingVisit visit, void *arg)
{
    Pass k = {.data = d, .visit = visit, .arg = arg};
    JsonDoc *doc;
    const Json *list;
    TRY(official_json(&doc, official_path(k.path, d, "%s.story-in-sequence.json", d->split)));
    static bool is_told; /* once: several passes are made over the stories */
    Status s = official_get(&list, json_root(doc), "annotations", JSON_ARRAY, k.path);
    if (!s)
        s = ask_stories(&k, list);
    json_free(&doc);
    pool_free(&k.pool);
    if (!s && k.left_out && !is_told)
        log_info("%s: %" PRId64 " of %" PRId64 " stories are left out, as a picture of theirs is not in images/", k.path, k.left_out,
                 k.left_out + k.units);
    is_told |= !s && k.left_out;
    return s;
}

static Status score(const BenchData *d, const char *made, Networks *f, Scores *s)
{
    NetworkSums sums = {0};
    TRY(bench_networks(&BENCH_VIST, d, made, f, &sums, s));
    if (networks_know(f, METRIC_CLIP_I))
        scores_add(s, networks_mean(&sums, METRIC_CLIP_I), "clip-similarity");
    if (networks_know(f, METRIC_LPIPS))
        scores_add(s, networks_mean(&sums, METRIC_LPIPS), "lpips");
    return OK;
}

const Bench BENCH_VIST = {.name = "vist",
                          .split = "val",
                          .files = "SPLIT.story-in-sequence.json; --answers: a folder of <story id>.png",
                          .pictures = "images/[SPLIT/]<flickr id>.png or .jpg; stories that lack one are left out",
                          .suffix = "",
                          .metric = "CLIP similarity of drawing and true picture, LPIPS",
                          .note = "stories of which a picture is gone are left out: the number of those left changes with the years",
                          .has_context = true,
                          .lpips_side = 256,
                          .networks = "clip-made clip-goal lpips",
                          .drawings = drawings,
                          .score_pictures = score};
