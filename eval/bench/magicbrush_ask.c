/* magicbrush_ask.c: the edits that MagicBrush asks for, from edit_sessions.json: each turn from the picture that its authors have before
 * it, and each from our own edit before it (magicbrush.h). Called by magicbrush.c. */
#include "eval/bench/magicbrush.h"

#include <limits.h>
#include <string.h>

#include "data/formats/file.h"

typedef struct Pass {
    const BenchData *data;
    char path[PATH_MAX], captions_path[PATH_MAX];
    const char *below; /* what paths of pictures begin with */
    JsonDoc *captions; /* {ID: {goal's file: text}}; NULL: there are none */
    DrawingVisit visit;
    void *arg;
    Pool pool; /* of one turn */
} Pass;

/* DIR is the split's folder, or its images/, which may be written with a slash behind it. */
static const char *find_beside(char *path, const BenchData *d, const char *name)
{
    if (file_exists(official_path(path, d, "%s", name)))
        return path;
    char folder[PATH_MAX], beside[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", d->dir);
    for (size_t n = strlen(folder); n > 1 && folder[n - 1] == '/'; n--)
        folder[n - 1] = 0;
    snprintf(beside, sizeof beside, "../%s", name);
    file_join_beside(path, folder, beside);
    return file_exists(path) ? path : NULL;
}

const char *magicbrush_images(const BenchData *d)
{
    char path[PATH_MAX];
    return file_exists(official_path(path, d, "edit_sessions.json")) && file_exists(official_path(path, d, "images")) ? "images/" : "";
}

/* The captions of the change come first, as in the authors' example. */
static Status open_captions(Pass *k)
{
    return find_beside(k->captions_path, k->data, "local_descriptions.json") ||
                   find_beside(k->captions_path, k->data, "global_descriptions.json")
               ? official_json(&k->captions, k->captions_path)
               : OK;
}

static Span caption_of(const Pass *k, const char *session, Span goal)
{
    const Json *of = k->captions ? json_get(json_root(k->captions), session) : NULL;
    const Json *text = of && of->kind == JSON_OBJECT ? json_get(of, goal.s) : NULL;
    return text && text->kind == JSON_STRING ? (Span){text->string, text->length} : SPAN("");
}

/* A turn's drawings; number from 1. */
static Status ask_turn(Pass *k, int64_t unit, const char *session, int number, const Json *turn)
{
    Span input, output, instruction;
    if (turn->kind != JSON_OBJECT)
        return fail(ERR_DATA, "%s:%d:%d: is %s, expected a turn, an object", k->path, turn->line, turn->column, json_kind_name(turn->kind));
    TRY(official_text(&input, turn, "input", k->path));
    TRY(official_text(&output, turn, "output", k->path));
    TRY(official_text(&instruction, turn, "instruction", k->path));
    pool_reset(&k->pool);
    const char *const image = span_print(&k->pool, "%s%s/%s", k->below, session, input.s).s;
    const char *const kind = number == 1 ? "" : "inde_";
    BenchDrawing q = {.unit = unit,
                      .id = span_print(&k->pool, "%s_%s%d", session, kind, number),
                      .name = span_print(&k->pool, "%s/%s_%s%d.png", session, session, kind, number).s,
                      .prompt = instruction,
                      .images = &image,
                      .n_images = 1,
                      .edits = true,
                      .goal = span_print(&k->pool, "%s%s/%s", k->below, session, output.s).s,
                      .caption = caption_of(k, session, output)};
    TRY(pool_status(&k->pool));
    TRY(k->visit(k->arg, &q));
    if (number == 1)
        return OK;
    q.id = span_print(&k->pool, "%s_iter_%d", session, number);
    q.name = span_print(&k->pool, "%s/%s_iter_%d.png", session, session, number).s;
    q.from = span_print(&k->pool, "%s/%s_%s%d.png", session, session, number == 2 ? "" : "iter_", number - 1).s;
    TRY(pool_status(&k->pool));
    return k->visit(k->arg, &q);
}

static Status ask_sessions(Pass *k, const Json *sessions)
{
    int64_t unit = 0;
    for (const Json *s = sessions->child; s; s = s->next, unit++) {
        int number = 0;
        if (s->kind != JSON_ARRAY || !s->length)
            return fail(ERR_DATA, "%s:%d:%d: \"%s\" is %s, expected a list of at least one turn", k->path, s->line, s->column, s->key,
                        json_kind_name(s->kind));
        for (const Json *turn = s->child; turn; turn = turn->next)
            TRY(ask_turn(k, unit, s->key, ++number, turn));
    }
    return OK;
}

Status magicbrush_drawings(const BenchData *d, DrawingVisit visit, void *arg)
{
    Pass k = {.data = d, .below = magicbrush_images(d), .visit = visit, .arg = arg};
    JsonDoc *doc;
    if (!find_beside(k.path, d, "edit_sessions.json"))
        return fail(ERR_MISSING, "%s: there is no edit_sessions.json, neither there nor beside it", d->dir);
    TRY(official_json(&doc, k.path));
    Status s = open_captions(&k);
    if (!s)
        s = ask_sessions(&k, json_root(doc));
    json_free(&k.captions);
    json_free(&doc);
    pool_free(&k.pool);
    return s;
}
