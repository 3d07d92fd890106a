/* A set of pictures and questions as files. scenes.json is written last and says what the set was made with. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/pictures/image.h"
#include "tools/worlds/scenes.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

enum { MAX_SUMMARY = 1 << 16 };

/* "\nAnswer …" as in LLaVA-1.5; sentences are asked for without it. */
static const char SHORT_ANSWER[] = "\nAnswer the question using a single word or phrase.";

/* What makes two sets the same. */
static void summarise(JsonOut *o, const SceneSet *set)
{
    o->pretty = true;
    jsonout_begin_object(o, NULL);
    jsonout_string(o, "schema", "genllava.scenes/1");
    jsonout_int(o, "count", set->count);
    jsonout_int(o, "heldout", set->heldout);
    jsonout_int(o, "size", set->size);
    jsonout_int(o, "seed", set->seed);
    jsonout_int(o, "turns", set->turns);
    jsonout_int(o, "objects", set->objects);
    jsonout_begin_array(o, "kinds");
    for (int k = 0; k < SCENE_KINDS; k++)
        if (set->kinds[k])
            jsonout_string(o, NULL, scene_kind_name((SceneKind)k));
    jsonout_end_array(o);
    jsonout_end_object(o);
}

/* *done: the folder holds exactly this set. Another set there is an error: nothing of it is touched. */
static Status look_for_old(const SceneSet *set, const JsonOut *summary, bool *done)
{
    char path[PATH_MAX], *old;
    size_t n;
    *done = false;
    if (!file_exists(file_join(path, set->out, "scenes.json")))
        return OK;
    TRY(file_read(&old, &n, path, MAX_SUMMARY));
    *done = !strncmp(old, summary->text, summary->length);
    mem_free(old);
    return *done ? OK : fail(ERR_CREATE, "%s was made with other settings; remove %s or give another --out", path, set->out);
}

typedef struct Split {
    const SceneSet *set;
    const char *name; /* "train" */
    bool heldout;
    SceneKind kinds[SCENE_KINDS]; /* asked in turn */
    int n_kinds;
    uint8_t *rgb;
    FileDraft json;
} Split;

static void put_turn(JsonOut *o, const SceneQuestion *q, SceneKind kind, bool first)
{
    char text[SCENE_TEXT + sizeof SHORT_ANSWER + 16];
    snprintf(text, sizeof text, "%s%s%s", first ? "<image>\n" : "", q->ask, first && kind < SCENE_REFER ? SHORT_ANSWER : "");
    jsonout_begin_object(o, NULL);
    jsonout_string(o, "from", "human");
    jsonout_string(o, "value", text);
    jsonout_end_object(o);
    jsonout_begin_object(o, NULL);
    jsonout_string(o, "from", "gpt");
    jsonout_string(o, "value", q->answer);
    jsonout_end_object(o);
}

/* Further questions about the same picture, of the kinds that follow, each about another object: else one would answer the other. */
static void put_more_turns(JsonOut *o, const Split *p, const Scene *s, const SceneQuestion *first, int64_t number, SceneRandom *r)
{
    enum { TRIES = 4 }; /* a turn: a question may have no clear answer, or its object may have had its turn */
    bool asked[SCENE_MAX_OBJECTS] = {false}, used[SCENE_KINDS] = {false};
    used[p->kinds[number % p->n_kinds]] = true;
    if (first->about >= 0)
        asked[first->about] = true;
    for (int64_t t = 1, k = 1; t < p->set->turns && k < TRIES * p->set->turns; k++) {
        SceneKind kind = p->kinds[(number + k) % p->n_kinds];
        SceneQuestion q;
        if (kind == SCENE_CAPTION || !scene_ask(&q, s, kind, r) || (q.about >= 0 ? asked[q.about] : used[kind]))
            continue;
        if (q.about >= 0)
            asked[q.about] = true;
        used[kind] = true;
        put_turn(o, &q, kind, false);
        t++;
    }
}

static Status write_picture(const Split *p, const Scene *s, const char *image, SceneRandom *r)
{
    char path[PATH_MAX];
    uint8_t *jpeg;
    size_t n;
    scene_draw(p->rgb, s, (int32_t)p->set->size, r);
    TRY(image_encode_jpeg(p->rgb, (int32_t)p->set->size, (int32_t)p->set->size, s->quality, &jpeg, &n));
    Status status = file_write(file_join(path, p->set->out, image), jpeg, n);
    mem_free(jpeg);
    return status;
}

static void put_record(JsonOut *o, const Split *p, int64_t number, const char *image, Scene *s, SceneRandom *r)
{
    SceneKind kind = p->kinds[number % p->n_kinds];
    SceneQuestion q;
    char id[64];
    scene_compose_for(s, &q, kind, r, p->heldout, (int)p->set->objects);
    snprintf(id, sizeof id, "%s-%06" PRId64, p->name, number);
    jsonout_begin_object(o, NULL);
    jsonout_string(o, "id", id);
    jsonout_string(o, "image", image);
    jsonout_string(o, "kind", scene_kind_name(kind));
    jsonout_begin_array(o, "conversations");
    put_turn(o, &q, kind, true);
    if (!p->heldout)
        put_more_turns(o, p, s, &q, number, r);
    jsonout_end_array(o);
    jsonout_end_object(o);
}

static Status write_record(Split *p, int64_t number)
{
    SceneRandom r = scene_random((uint64_t)p->set->seed, p->heldout, (uint64_t)number);
    Scene s;
    JsonOut o = {.text = NULL};
    char image[64];
    snprintf(image, sizeof image, "%s/%06" PRId64 ".jpg", p->name, number);
    put_record(&o, p, number, image, &s, &r);
    Status status = OK;
    if (o.failed)
        status = fail(ERR_NOMEM, "no memory for record %" PRId64, number);
    else if (fprintf(p->json.out, "%s\n%s", number ? "," : "", o.text) < 0)
        status = fail(ERR_IO, "%s: cannot be written: %s", p->json.path, strerror(errno));
    jsonout_free(&o);
    return status ? status : write_picture(p, &s, image, &r);
}

static Status write_records(Split *p, int64_t count)
{
    Status s = OK;
    fputc('[', p->json.out);
    for (int64_t i = 0; i < count && !s; i++) {
        s = write_record(p, i);
        if (i % 500 == 0)
            log_progress("%s: %" PRId64 " of %" PRId64 " pictures", p->name, i, count);
    }
    fputs("\n]\n", p->json.out);
    return file_publish(&p->json, s);
}

static Status write_split(const SceneSet *set, bool heldout, uint8_t *rgb)
{
    Split p = {.set = set, .name = heldout ? "heldout" : "train", .heldout = heldout, .rgb = rgb};
    char path[PATH_MAX];
    for (int k = 0; k < SCENE_KINDS; k++)
        if (set->kinds[k])
            p.kinds[p.n_kinds++] = (SceneKind)k;
    TRY(file_make_folders(file_join(path, set->out, p.name)));
    TRY(file_draft(&p.json, file_join(path, set->out, heldout ? "heldout.json" : "train.json")));
    return write_records(&p, heldout ? set->heldout : set->count);
}

static Status write_all(const SceneSet *set, const JsonOut *summary)
{
    uint8_t *rgb = mem_alloc((size_t)set->size * (size_t)set->size * 3);
    Status s = rgb ? OK : fail(ERR_NOMEM, "no memory for a picture of %" PRId64 " pixels a side", set->size);
    for (int heldout = 0; heldout < 2 && !s; heldout++)
        s = write_split(set, heldout, rgb);
    mem_free(rgb);
    char path[PATH_MAX];
    return s ? s : file_replace(file_join(path, set->out, "scenes.json"), summary->text); /* last: that it is there means that all the rest is */
}

Status scenes_write(const SceneSet *set)
{
    JsonOut summary = {.text = NULL};
    bool done = false;
    summarise(&summary, set);
    Status s = summary.failed ? fail(ERR_NOMEM, "no memory for scenes.json") : look_for_old(set, &summary, &done);
    if (!s && !done)
        s = write_all(set, &summary);
    jsonout_free(&summary);
    if (!s)
        log_info("%s: %" PRId64 " training and %" PRId64 " held-out records%s", set->out, set->count, set->heldout,
                 done ? " are there already" : "");
    return s;
}
