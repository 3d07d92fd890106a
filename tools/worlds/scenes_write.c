/* A set of pictures and questions as files. scenes.json is written last and says what the set was made with. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/pictures/image.h"
#include "tools/worlds/scenes.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

enum { MAX_SUMMARY = 1 << 16 };

/* "\nAnswer …" as in LLaVA-1.5; sentences are asked for without it. */
static const char SHORT_ANSWER[] = "\nAnswer the question using a single word or phrase.";

/* What makes two sets the same. */
static Status summarise(char **text, const SceneSet *set)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "schema", "genllava.scenes/1");
    json_add_int(o, "count", set->count);
    json_add_int(o, "heldout", set->heldout);
    json_add_int(o, "size", set->size);
    json_add_int(o, "seed", set->seed);
    json_add_int(o, "turns", set->turns);
    json_add_int(o, "objects", set->objects);
    cJSON *kinds = cJSON_AddArrayToObject(o, "kinds");
    for (int k = 0; k < SCENE_KINDS; k++)
        if (set->kinds[k])
            json_add_text(kinds, NULL, scene_kind_name((SceneKind)k));
    TRY(json_to_text(text, &o, JSON_PRETTY, "scenes.json"));
    (*text)[strlen(*text) - 1] = 0; /* file_replace adds the newline */
    return OK;
}

/* *done: the folder holds exactly this set. Another set there is an error: nothing of it is touched. */
static Status look_for_old(const SceneSet *set, const char *summary, bool *done)
{
    char path[PATH_MAX], *old;
    size_t n;
    *done = false;
    if (!file_exists(file_join(path, set->out, "scenes.json")))
        return OK;
    TRY(file_read(&old, &n, path, MAX_SUMMARY));
    *done = !strncmp(old, summary, strlen(summary)); /* a newline may follow */
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

static void add_turns(cJSON *turns, const SceneQuestion *q, SceneKind kind, bool first)
{
    char text[SCENE_TEXT + sizeof SHORT_ANSWER + 16];
    snprintf(text, sizeof text, "%s%s%s", first ? "<image>\n" : "", q->ask, first && kind < SCENE_REFER ? SHORT_ANSWER : "");
    const char *const said[][2] = {{"human", text}, {"gpt", q->answer}};
    for (int i = 0; i < 2; i++) {
        cJSON *turn = json_add(turns, NULL, cJSON_CreateObject());
        cJSON_AddStringToObject(turn, "from", said[i][0]);
        cJSON_AddStringToObject(turn, "value", said[i][1]);
    }
}

/* Further questions about the same picture, of the kinds that follow, each about another object: else one would answer the other. */
static void add_more_turns(cJSON *turns, const Split *p, const Scene *s, const SceneQuestion *first, int64_t number, SceneRandom *r)
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
        add_turns(turns, &q, kind, false);
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

static void fill_record(cJSON *o, const Split *p, int64_t number, const char *image, Scene *s, SceneRandom *r)
{
    SceneKind kind = p->kinds[number % p->n_kinds];
    SceneQuestion q;
    char id[64];
    scene_compose_for(s, &q, kind, r, p->heldout, (int)p->set->objects);
    snprintf(id, sizeof id, "%s-%06" PRId64, p->name, number);
    cJSON_AddStringToObject(o, "id", id);
    cJSON_AddStringToObject(o, "image", image);
    cJSON_AddStringToObject(o, "kind", scene_kind_name(kind));
    cJSON *turns = cJSON_AddArrayToObject(o, "conversations");
    add_turns(turns, &q, kind, true);
    if (!p->heldout)
        add_more_turns(turns, p, s, &q, number, r);
}

static Status write_record(Split *p, int64_t number)
{
    SceneRandom r = scene_random((uint64_t)p->set->seed, p->heldout, (uint64_t)number);
    Scene s;
    cJSON *o = cJSON_CreateObject();
    char image[64];
    snprintf(image, sizeof image, "%s/%06" PRId64 ".jpg", p->name, number);
    fill_record(o, p, number, image, &s, &r);
    fputs(number ? ",\n" : "\n", p->json.out);
    TRY(json_print(p->json.out, &o, JSON_INLINE, p->json.path));
    return write_picture(p, &s, image, &r);
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

static Status write_all(const SceneSet *set, const char *summary)
{
    uint8_t *rgb = mem_alloc((size_t)set->size * (size_t)set->size * 3);
    Status s = rgb ? OK : fail(ERR_NOMEM, "no memory for a picture of %" PRId64 " pixels a side", set->size);
    for (int heldout = 0; heldout < 2 && !s; heldout++)
        s = write_split(set, heldout, rgb);
    mem_free(rgb);
    char path[PATH_MAX];
    return s ? s : file_replace(file_join(path, set->out, "scenes.json"), summary); /* last: that it is there means that all the rest is */
}

Status scenes_write(const SceneSet *set)
{
    char *summary;
    bool done = false;
    TRY(summarise(&summary, set));
    Status s = look_for_old(set, summary, &done);
    if (!s && !done)
        s = write_all(set, summary);
    mem_free(summary);
    if (!s)
        log_info("%s: %" PRId64 " training and %" PRId64 " held-out records%s", set->out, set->count, set->heldout,
                 done ? " are there already" : "");
    return s;
}
