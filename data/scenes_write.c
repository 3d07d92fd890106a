/* A set of pictures and questions as files. scenes.json is written last and says what the set was made with. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/image.h"
#include "data/scenes.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

enum { MAX_PATH_BYTES = 4096, MAX_SUMMARY = 1 << 16 };

/* "\nAnswer …" as in LLaVA-1.5; sentences are asked for without it. */
static const char SHORT_ANSWER[] = "\nAnswer the question using a single word or phrase.";

static Status join(char path[MAX_PATH_BYTES], const char *folder, const char *name)
{
    int n = snprintf(path, MAX_PATH_BYTES, "%s/%s", folder, name);
    return n > 0 && n < MAX_PATH_BYTES ? OK : fail(ERR_CREATE, "%s/%s: the path is too long", folder, name);
}

static Status make_folder(const char *path)
{
    if (!mkdir(path, 0777) || errno == EEXIST)
        return OK;
    return fail(ERR_CREATE, "%s: cannot create the folder: %s", path, strerror(errno));
}

/* Under another name first, so that the file is whole or absent. */
static Status write_file(const char *path, const void *bytes, size_t n)
{
    char draft[MAX_PATH_BYTES + 8];
    snprintf(draft, sizeof draft, "%s.new", path);
    FILE *f = fopen(draft, "wb");
    if (!f)
        return fail(ERR_CREATE, "%s: cannot create: %s", draft, strerror(errno));
    bool good = fwrite(bytes, 1, n, f) == n;
    good = !fclose(f) && good && !rename(draft, path);
    if (good)
        return OK;
    Status s = fail(ERR_IO, "%s: cannot write: %s", path, strerror(errno));
    unlink(draft);
    return s;
}

static Status write_text(const char *folder, const char *name, JsonOut *o)
{
    char path[MAX_PATH_BYTES];
    Status s = o->failed ? fail(ERR_NOMEM, "no memory for %s", name) : join(path, folder, name);
    if (!s)
        s = write_file(path, o->text, o->length);
    jsonout_free(o);
    return s;
}

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
    char path[MAX_PATH_BYTES], *old;
    size_t n;
    TRY(join(path, set->out, "scenes.json"));
    *done = false;
    if (access(path, F_OK))
        return OK;
    TRY(file_read(&old, &n, path, MAX_SUMMARY));
    *done = n == summary->length && !memcmp(old, summary->text, n);
    mem_free(old);
    return *done ? OK : fail(ERR_CREATE, "%s was made with other settings; remove %s or give another --out", path, set->out);
}

typedef struct Split {
    const SceneSet *set;
    const char *name; /* "train" */
    bool heldout;
    int64_t count;
    SceneKind kinds[SCENE_KINDS]; /* asked in turn */
    int n_kinds;
    JsonOut json;
    uint8_t *rgb;
} Split;

static void put_turn(JsonOut *o, const SceneQuestion *q, SceneKind kind, bool first)
{
    char text[SCENE_TEXT + sizeof SHORT_ANSWER + 16];
    snprintf(text, sizeof text, "%s%s%s", first ? "<image>\n" : "", q->ask, first && kind != SCENE_CAPTION ? SHORT_ANSWER : "");
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
static void put_more_turns(Split *p, const Scene *s, const SceneQuestion *first, int64_t number, SceneRandom *r)
{
    bool asked[SCENE_MAX_OBJECTS] = {false};
    if (first->about >= 0)
        asked[first->about] = true;
    for (int64_t t = 1, k = 1; t < p->set->turns && k < p->n_kinds; k++) {
        SceneKind kind = p->kinds[(number + k) % p->n_kinds];
        SceneQuestion q;
        if (kind == SCENE_CAPTION || !scene_ask(&q, s, kind, r) || (q.about >= 0 && asked[q.about]))
            continue;
        if (q.about >= 0)
            asked[q.about] = true;
        put_turn(&p->json, &q, kind, false);
        t++;
    }
}

static Status write_picture(Split *p, const Scene *s, const char *image, SceneRandom *r)
{
    char path[MAX_PATH_BYTES];
    uint8_t *jpeg;
    size_t n;
    TRY(join(path, p->set->out, image));
    scene_draw(p->rgb, s, (int32_t)p->set->size, r);
    TRY(image_encode_jpeg(p->rgb, (int32_t)p->set->size, (int32_t)p->set->size, s->quality, &jpeg, &n));
    Status status = write_file(path, jpeg, n);
    mem_free(jpeg);
    return status;
}

static Status write_record(Split *p, int64_t number)
{
    SceneRandom r = scene_random((uint64_t)p->set->seed, p->heldout, (uint64_t)number);
    SceneKind kind = p->kinds[number % p->n_kinds];
    Scene s;
    SceneQuestion q;
    char id[64], image[64];
    scene_compose_for(&s, &q, kind, &r, p->heldout);
    snprintf(id, sizeof id, "%s-%06" PRId64, p->name, number);
    snprintf(image, sizeof image, "%s/%06" PRId64 ".jpg", p->name, number);
    JsonOut *o = &p->json;
    jsonout_begin_object(o, NULL);
    jsonout_string(o, "id", id);
    jsonout_string(o, "image", image);
    jsonout_string(o, "kind", scene_kind_name(kind));
    jsonout_begin_array(o, "conversations");
    put_turn(o, &q, kind, true);
    if (!p->heldout)
        put_more_turns(p, &s, &q, number, &r);
    jsonout_end_array(o);
    jsonout_end_object(o);
    return write_picture(p, &s, image, &r);
}

static Status write_split(const SceneSet *set, bool heldout, uint8_t *rgb)
{
    Split p = {.set = set, .name = heldout ? "heldout" : "train", .heldout = heldout, .count = heldout ? set->heldout : set->count, .rgb = rgb};
    char path[MAX_PATH_BYTES], file[32];
    for (int k = 0; k < SCENE_KINDS; k++)
        if (set->kinds[k])
            p.kinds[p.n_kinds++] = (SceneKind)k;
    TRY(join(path, set->out, p.name));
    TRY(make_folder(path));
    Status s = OK;
    jsonout_begin_array(&p.json, NULL);
    for (int64_t i = 0; i < p.count && !s; i++) {
        s = write_record(&p, i);
        if (i % 500 == 0)
            log_progress("%s: %" PRId64 " of %" PRId64 " pictures", p.name, i, p.count);
    }
    jsonout_end_array(&p.json);
    if (s) {
        jsonout_free(&p.json);
        return s;
    }
    snprintf(file, sizeof file, "%s.json", p.name);
    return write_text(set->out, file, &p.json);
}

Status scenes_write(const SceneSet *set)
{
    JsonOut summary = {.text = NULL};
    bool done = false;
    summarise(&summary, set);
    Status s = summary.failed ? fail(ERR_NOMEM, "no memory for scenes.json") : look_for_old(set, &summary, &done);
    if (s || done) {
        jsonout_free(&summary);
        if (done)
            log_info("%s is complete already", set->out);
        return s;
    }
    uint8_t *rgb = mem_alloc((size_t)set->size * (size_t)set->size * 3);
    s = rgb ? make_folder(set->out) : fail(ERR_NOMEM, "no memory for a picture of %" PRId64 " pixels a side", set->size);
    for (int heldout = 0; heldout < 2 && !s; heldout++)
        s = write_split(set, heldout, rgb);
    mem_free(rgb);
    if (!s)
        return write_text(set->out, "scenes.json", &summary);
    jsonout_free(&summary);
    return s;
}
