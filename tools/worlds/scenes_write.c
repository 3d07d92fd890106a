/* A set of pictures and questions as files. scenes.json is written last and says what the set was made with. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/pictures/image.h"
#include "tools/worlds/scenes.h"
#include "tools/worlds/set_files.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

/* "\nAnswer …" as in LLaVA-1.5; sentences are asked for without it. */
static const char SHORT_ANSWER[] = "\nAnswer the question using a single word or phrase.";

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
    set_add_turn(turns, "human", text);
    set_add_turn(turns, "gpt", q->answer);
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

static Status write_splits(const void *set, uint8_t *rgb)
{
    TRY(write_split(set, false, rgb));
    return write_split(set, true, rgb);
}

/* What makes two sets the same. */
static cJSON *summarise(const SceneSet *set)
{
    cJSON *o = set_summary("genllava.scenes/1", set->count, set->heldout, set->size, set->seed);
    json_add_int(o, "turns", set->turns);
    json_add_int(o, "objects", set->objects);
    cJSON *kinds = cJSON_AddArrayToObject(o, "kinds");
    for (int k = 0; k < SCENE_KINDS; k++)
        if (set->kinds[k])
            json_add_text(kinds, NULL, scene_kind_name((SceneKind)k));
    return o;
}

Status scenes_write(const SceneSet *set)
{
    cJSON *summary = summarise(set);
    bool done;
    TRY(set_write(set->out, "scenes.json", &summary, set->size, write_splits, set, &done));
    log_info("%s: %" PRId64 " training and %" PRId64 " held-out records%s", set->out, set->count, set->heldout,
             done ? " are there already" : "");
    return OK;
}
