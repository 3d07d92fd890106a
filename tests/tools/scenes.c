/* The picture world: what is asked is true, what is held out stays out, and the same seed gives the same bytes. */
#include "tools/worlds/scenes.h"

#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "tests/data/digest.h"
#include "tests/harness.h"

enum { SIDE = 64, SEED = 5 };

static const char *const SHAPES[] = {"circle", "square", "triangle", "star", "cross", "ring"};
static const char *const COLORS[] = {"red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"};

static void make(Scene *s, SceneQuestion *q, SceneKind kind, bool heldout, uint64_t number)
{
    SceneRandom r = scene_random(SEED, heldout, number);
    scene_compose_for(s, q, kind, &r, heldout, SCENE_MAX_OBJECTS);
}

TEST(scenes_hold_eight_combinations_out)
{
    int n = 0, of_color[SCENE_COLORS] = {0};
    for (int shape = 0; shape < SCENE_SHAPES; shape++)
        for (int color = 0; color < SCENE_COLORS; color++) {
            n += scene_is_held_out(shape, color);
            of_color[color] += scene_is_held_out(shape, color);
        }
    CHECK_INT(n, 8);
    for (int c = 0; c < SCENE_COLORS; c++)
        CHECK_INT(of_color[c], 1);
    for (uint64_t i = 0; i < 2000; i++) {
        Scene s;
        SceneQuestion q;
        SceneKind kind = (SceneKind)(i % SCENE_KINDS);
        make(&s, &q, kind, false, i);
        for (int k = 0; k < s.n; k++)
            CHECK_MSG(!scene_is_held_out(s.object[k].shape, s.object[k].color), "training scene %d holds a held-out combination", (int)i);
        CHECK_INT(s.subject, -1);
        make(&s, &q, kind, true, i);
        CHECK(scene_is_held_out(s.object[s.subject].shape, s.object[s.subject].color));
        CHECK_MSG(q.about < 0 || q.about == s.subject, "held-out question %d is not about the held-out object", (int)i);
    }
}

TEST(scenes_keep_objects_apart_and_inside)
{
    for (uint64_t i = 0; i < 2000; i++) {
        Scene s;
        SceneRandom r = scene_random(SEED, i & 1, i);
        scene_compose(&s, &r, i & 1, 1 + (int)(i % SCENE_MAX_OBJECTS));
        for (int a = 0; a < s.n; a++) {
            const SceneObject *o = &s.object[a];
            CHECK(o->x > o->radius && o->x < 1 - o->radius && o->y > o->radius && o->y < 1 - o->radius);
            CHECK((o->x < 0.44 || o->x > 0.56) && (o->y < 0.44 || o->y > 0.56));
            for (int b = 0; b < a; b++) {
                double dx = o->x - s.object[b].x, dy = o->y - s.object[b].y, reach = o->radius + s.object[b].radius;
                CHECK(dx * dx + dy * dy > reach * reach);
            }
        }
    }
}

/* Which of the words comes first in the text; -1: none. */
static int first_word(const char *text, const char *const *words, int n)
{
    const char *at = NULL;
    int first = -1;
    for (int i = 0; i < n; i++) {
        const char *p = strstr(text, words[i]);
        if (p && (!at || p < at)) {
            at = p;
            first = i;
        }
    }
    return first;
}

/* The object that the first color and shape in the text mean (either may be absent); NULL when it is not exactly one. */
static const SceneObject *named(const Scene *s, const char *text)
{
    int color = first_word(text, COLORS, SCENE_COLORS), shape = first_word(text, SHAPES, SCENE_SHAPES), n = 0;
    const SceneObject *found = NULL;
    for (int i = 0; i < s->n; i++)
        if ((color < 0 || s->object[i].color == color) && (shape < 0 || s->object[i].shape == shape)) {
            found = &s->object[i];
            n++;
        }
    return n == 1 ? found : NULL;
}

/* The second thing named: behind the last "the". */
static const SceneObject *named_last(const Scene *s, const char *text)
{
    const char *last = text;
    for (const char *p = text; (p = strstr(p, " the ")); p++)
        last = p;
    return named(s, last);
}

static const char *side_of(const SceneObject *o) { return o->x < 0.5 ? "left" : "right"; }
static const char *height_of(const SceneObject *o) { return o->y < 0.5 ? "top" : "bottom"; }
static const char *size_of(const SceneObject *o) { return o->radius > 0.17 ? "large" : "small"; }

/* The only object in "the object at the top left"; NULL when the text names no place or it holds several. */
static const SceneObject *placed(const Scene *s, const char *text)
{
    const SceneObject *found = NULL;
    int n = 0;
    for (int i = 0; i < s->n; i++) {
        char place[64];
        snprintf(place, sizeof place, "the object at the %s %s", height_of(&s->object[i]), side_of(&s->object[i]));
        if (strstr(text, place)) {
            found = &s->object[i];
            n++;
        }
    }
    return n == 1 ? found : NULL;
}

static void wanted_answer(char *to, size_t n, SceneKind kind, const Scene *s, const char *ask)
{
    const SceneObject *o = named(s, ask), *p = named_last(s, ask);
    const char *word = "?";
    switch (kind) {
    case SCENE_COLOR: word = o ? COLORS[o->color] : word; break;
    case SCENE_SHAPE: word = o ? SHAPES[o->shape] : word; break;
    case SCENE_EXISTS: word = o ? "yes" : "no"; break;
    case SCENE_SIDE: word = o ? side_of(o) : word; break;
    case SCENE_HEIGHT: word = o ? height_of(o) : word; break;
    case SCENE_SIZE: word = o ? size_of(o) : word; break;
    case SCENE_LARGER: word = o && p && o != p ? SHAPES[o->radius > p->radius ? o->shape : p->shape] : word; break;
    case SCENE_BACKGROUND: word = s->pattern == 0 ? "plain" : s->pattern == 1 ? "striped" : "checked"; break;
    case SCENE_RELATION:
        if (o && p && o != p && strstr(ask, " or right of"))
            word = o->x < p->x ? "left" : "right";
        else if (o && p && o != p)
            word = o->y < p->y ? "above" : "below";
        break;
    default: break;
    }
    if (strstr(ask, "object at the"))
        o = placed(s, ask);
    if (kind == SCENE_COUNT)
        snprintf(to, n, "%d", s->n);
    else if (kind == SCENE_REFER && o)
        snprintf(to, n, "a %s %s %s at the %s %s", size_of(o), COLORS[o->color], SHAPES[o->shape], height_of(o), side_of(o));
    else
        snprintf(to, n, "%s", word);
}

TEST(scenes_answers_are_true)
{
    for (int kind = 0; kind < SCENE_KINDS; kind++)
        for (uint64_t i = 0; i < 400 && kind != SCENE_CAPTION; i++) {
            Scene s;
            SceneQuestion q;
            char wanted[64];
            make(&s, &q, (SceneKind)kind, i & 1, i);
            wanted_answer(wanted, sizeof wanted, (SceneKind)kind, &s, q.ask);
            bool several = kind == SCENE_EXISTS && !strcmp(q.answer, "yes"); /* then named() may find two of them */
            CHECK_MSG(several || !strcmp(q.answer, wanted), "%s: \"%s\" is answered \"%s\", wanted \"%s\"",
                      scene_kind_name((SceneKind)kind), q.ask, q.answer, wanted);
        }
    Scene s = {.n = 2, .pattern = 1, .subject = -1, .object = {{.shape = 3, .color = 0, .large = true, .x = 0.3, .y = 0.3},
                                                               {.shape = 0, .color = 1, .x = 0.7, .y = 0.8}}};
    SceneQuestion q;
    SceneRandom r = scene_random(1, false, 0);
    CHECK(scene_ask(&q, &s, SCENE_CAPTION, &r));
    CHECK_STR(q.answer, "2 objects: a large red star at the top left, a small orange circle at the bottom right.");
    s.object[1].x = 0.2, s.object[1].y = 0.1; /* a place that holds two names neither */
    for (int i = 0; i < 100; i++)
        CHECK_MSG(!scene_ask(&q, &s, SCENE_REFER, &r) || !strstr(q.ask, "object at the"), "%s", q.ask);
}

TEST(scenes_no_answer_is_a_safe_guess)
{
    for (int kind = 0; kind < SCENE_KINDS; kind++) {
        char seen[16][32];
        int counts[16] = {0}, n = 0, most = 0;
        for (uint64_t i = 0; i < 1000 && kind < SCENE_REFER; i++) {
            Scene s;
            SceneQuestion q;
            make(&s, &q, (SceneKind)kind, false, i);
            int k = 0;
            while (k < n && strcmp(seen[k], q.answer))
                k++;
            REQUIRE(k < 16);
            if (k == n)
                snprintf(seen[n++], sizeof seen[0], "%.31s", q.answer);
            most = ++counts[k] > most ? counts[k] : most;
        }
        CHECK_MSG(most < 560, "%s: one answer is right %d times in 1000", scene_kind_name((SceneKind)kind), most);
    }
}

TEST(scenes_are_drawn_where_and_as_they_say)
{
    static const uint8_t PALETTE[SCENE_COLORS][3] = {{215, 35, 35},  {245, 135, 20}, {245, 220, 50}, {40, 160, 60},
                                                     {70, 205, 215}, {45, 75, 215},  {135, 50, 170}, {250, 150, 195}};
    static uint8_t rgb[SIDE * SIDE * 3];
    for (uint64_t i = 0; i < 200; i++) {
        Scene s;
        SceneRandom r = scene_random(SEED, false, i);
        scene_compose(&s, &r, false, 3);
        scene_draw(rgb, &s, SIDE, &r);
        for (int k = 0; k < s.n; k++) {
            const SceneObject *o = &s.object[k];
            double down = o->shape == 5 ? 0.8 * o->radius : 0; /* a ring has a hole */
            const uint8_t *p = rgb + ((size_t)((o->y + down) * SIDE) * SIDE + (size_t)(o->x * SIDE)) * 3;
            int error = 0;
            for (int c = 0; c < 3; c++)
                error += p[c] > PALETTE[o->color][c] ? p[c] - PALETTE[o->color][c] : PALETTE[o->color][c] - p[c];
            CHECK_MSG(error < 110, "scene %d: a %s %s has the color %d %d %d", (int)i, COLORS[o->color], SHAPES[o->shape], p[0], p[1],
                      p[2]);
        }
    }
}

TEST(scenes_are_the_same_bytes_everywhere)
{
    static uint8_t rgb[SIDE * SIDE * 3 * 12];
    SceneQuestion q;
    Scene s;
    for (uint64_t i = 0; i < 12; i++) {
        SceneRandom r = scene_random(SEED, i & 1, i);
        scene_compose_for(&s, &q, (SceneKind)(i % SCENE_KINDS), &r, i & 1, SCENE_MAX_OBJECTS);
        scene_draw(rgb + i * SIDE * SIDE * 3, &s, SIDE, &r);
    }
    Digest d = digest(rgb, sizeof rgb, 16);
    CHECK_STR(d.hex, "ec36fdeab7c8757b");
}

/* Descriptions in one record are of different objects. */
TEST(scenes_ask_about_each_object_once)
{
    char path[512];
    log_level(LOG_QUIET);
    SceneSet set = {.out = test_dir(), .count = 60, .size = 32, .seed = 9, .turns = 3, .objects = 3, .kinds = {[SCENE_REFER] = true}};
    REQUIRE_OK(scenes_write(&set));
    JsonDoc *doc;
    snprintf(path, sizeof path, "%s/train.json", test_dir());
    REQUIRE_OK(json_read_file(&doc, path));
    size_t most = 0;
    for (const Json *record = json_root(doc)->child; record; record = record->next) {
        const Json *turns = json_get(record, "conversations");
        most = turns->length > most ? turns->length : most;
        for (const Json *a = turns->child->next; a; a = a->next ? a->next->next : NULL)
            for (const Json *b = a->next ? a->next->next : NULL; b; b = b->next ? b->next->next : NULL)
                CHECK_MSG(strcmp(json_get(a, "value")->string, json_get(b, "value")->string), "%s: %s twice",
                          json_get(record, "id")->string, json_get(a, "value")->string);
    }
    CHECK_INT(most, 6);
    json_free(&doc);
}

TEST(scenes_write_a_set)
{
    log_level(LOG_QUIET);
    char one[256], two[256], path[512], message[768];
    snprintf(one, sizeof one, "%s/one", test_dir());
    snprintf(two, sizeof two, "%s/two", test_dir());
    SceneSet set = {.out = one, .count = 30, .heldout = 10, .size = 32, .seed = 9, .turns = 3, .objects = 4};
    set.kinds[SCENE_COLOR] = set.kinds[SCENE_COUNT] = set.kinds[SCENE_SIDE] = true;
    REQUIRE_OK(scenes_write(&set));
    set.out = two;
    set.count = 40; /* a longer set begins like a shorter one */
    REQUIRE_OK(scenes_write(&set));
    static const char *const SAME[] = {"heldout.json", "train/000029.jpg", "heldout/000009.jpg"};
    for (size_t i = 0; i < sizeof SAME / sizeof SAME[0]; i++)
        CHECK_STR(file_digest(two, SAME[i]).hex, file_digest(one, SAME[i]).hex);

    JsonDoc *doc;
    snprintf(path, sizeof path, "%s/train.json", one);
    REQUIRE_OK(json_read_file(&doc, path));
    CHECK_INT(json_root(doc)->length, 30);
    const Json *third = json_root(doc)->child->next->next;
    CHECK_STR(json_get(third, "id")->string, "train-000002");
    CHECK_STR(json_get(third, "image")->string, "train/000002.jpg");
    CHECK_STR(json_get(third, "kind")->string, "side");
    const Json *turns = json_get(third, "conversations");
    CHECK(turns->length >= 4 && turns->length % 2 == 0);
    CHECK_STR(json_get(turns->child, "from")->string, "human");
    CHECK(!strncmp(json_get(turns->child, "value")->string, "<image>\nIs the ", 15));
    CHECK(strstr(json_get(turns->child, "value")->string, "?\nAnswer the question using a single word or phrase."));
    json_free(&doc);

    REQUIRE_OK(scenes_write(&set)); /* nothing to do */
    set.seed = 10;
    snprintf(message, sizeof message, "%s/scenes.json was made with other settings; remove %s or give another --out", two, two);
    CHECK_FAILS(scenes_write(&set), ERR_CREATE, message);
    set.out = "/proc/nothing";
    CHECK_FAILS(scenes_write(&set), ERR_CREATE, "/proc/nothing: cannot be created: No such file or directory");
}
