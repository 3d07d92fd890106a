/* Questions about a scene, and their answers. */
#include <stdio.h>
#include <string.h>

#include "tools/worlds/scenes.h"

static const char *const SHAPES[SCENE_SHAPES] = {"circle", "square", "triangle", "star", "cross", "ring"};
static const char *const COLORS[SCENE_COLORS] = {"red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"};
static const char *const PATTERNS[SCENE_PATTERNS] = {"plain", "striped", "checked"};
static const char *const NUMBERS[SCENE_MAX_OBJECTS + 1] = {"0", "1", "2", "3", "4"};

static const char *const KINDS[SCENE_KINDS] = {
#define KIND_NAME(kind, name, example) name,
    SCENE_KIND_LIST(KIND_NAME)
#undef KIND_NAME
};

const char *scene_kind_name(SceneKind k) { return KINDS[k]; }

static const char *article(const char *word) { return strchr("aeiou", word[0]) ? "an" : "a"; }
static const char *side_word(const SceneObject *o) { return o->x < 0.5 ? "left" : "right"; }
static const char *height_word(const SceneObject *o) { return o->y < 0.5 ? "top" : "bottom"; }
static const char *size_word(const SceneObject *o) { return o->large ? "large" : "small"; }

#define PUT(to, ...) snprintf(to, sizeof(to), __VA_ARGS__)

/* "a small red star at the top left" */
static int put_description(char *to, size_t size, const SceneObject *o)
{
    return snprintf(to, size, "a %s %s %s at the %s %s", size_word(o), COLORS[o->color], SHAPES[o->shape], height_word(o), side_word(o));
}

/* How many objects have this shape and this colour; -1 stands for any. */
static int matching(const Scene *s, int shape, int color)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += (shape < 0 || s->object[i].shape == shape) && (color < 0 || s->object[i].color == color);
    return n;
}

static bool is_unique(const Scene *s, const SceneObject *o) { return matching(s, o->shape, o->color) == 1; }

/* The object a question is about: the subject, or any. */
static int choose_object(const Scene *s, SceneRandom *r) { return s->subject >= 0 ? s->subject : (int)scene_below(r, (uint32_t)s->n); }

static bool ask_color(SceneQuestion *q, const Scene *s, SceneRandom *r)
{
    const SceneObject *o = &s->object[q->about];
    if (matching(s, o->shape, -1) != 1)
        return false;
    PUT(q->ask, scene_below(r, 2) ? "What color is the %s?" : "Which color does the %s have?", SHAPES[o->shape]);
    PUT(q->answer, "%s", COLORS[o->color]);
    return true;
}

static bool ask_shape(SceneQuestion *q, const Scene *s, SceneRandom *r)
{
    const SceneObject *o = &s->object[q->about];
    if (matching(s, -1, o->color) != 1)
        return false;
    PUT(q->ask, scene_below(r, 2) ? "What shape is the %s object?" : "Which shape is %s?", COLORS[o->color]);
    PUT(q->answer, "%s", SHAPES[o->shape]);
    return true;
}

static bool ask_count(SceneQuestion *q, const Scene *s, SceneRandom *r)
{
    PUT(q->ask, "%s", scene_below(r, 2) ? "How many objects are there?" : "How many shapes are in the picture?");
    PUT(q->answer, "%s", NUMBERS[s->n]);
    return true;
}

/* A combination that is not there; three times in four it shares its shape or its colour with something that is. */
static bool choose_absent(int *shape, int *color, const Scene *s, SceneRandom *r)
{
    enum { TRIES = 200 };
    for (int k = 0; k < TRIES; k++) {
        uint32_t way = scene_below(r, 4);
        const SceneObject *other = &s->object[scene_below(r, (uint32_t)s->n)];
        *shape = way == 1 ? other->shape : (int)scene_below(r, SCENE_SHAPES);
        *color = way >= 2 ? other->color : (int)scene_below(r, SCENE_COLORS);
        if (!matching(s, *shape, *color) && scene_is_held_out(*shape, *color) == (s->subject >= 0))
            return true;
    }
    return false;
}

static bool ask_exists(SceneQuestion *q, const Scene *s, SceneRandom *r)
{
    int shape = s->object[q->about].shape, color = s->object[q->about].color;
    bool yes = scene_below(r, 2);
    if (!yes) {
        if (!choose_absent(&shape, &color, s, r))
            return false;
        q->about = -1;
    }
    PUT(q->ask, scene_below(r, 2) ? "Is there %s %s %s?" : "Can you see %s %s %s?", article(COLORS[color]), COLORS[color], SHAPES[shape]);
    PUT(q->answer, "%s", yes ? "yes" : "no");
    return true;
}

/* "red star", or "red object" where the colour alone says which: to be sought by one trait or by both. */
static void name_object(char out[64], const Scene *s, const SceneObject *o, SceneRandom *r)
{
    bool by_color = scene_below(r, 2) && matching(s, -1, o->color) == 1;
    snprintf(out, 64, "%s %s", COLORS[o->color], by_color ? "object" : SHAPES[o->shape]);
}

/* "Is the red star on the left or on the right?" */
static bool ask_which(SceneQuestion *q, const Scene *s, SceneRandom *r, const char *words, const char *(*answer)(const SceneObject *o))
{
    const SceneObject *o = &s->object[q->about];
    char name[64];
    name_object(name, s, o, r);
    PUT(q->ask, "Is the %s %s?", name, words);
    PUT(q->answer, "%s", answer(o));
    return is_unique(s, o);
}

static bool ask_side(SceneQuestion *q, const Scene *s, SceneRandom *r)
{
    return ask_which(q, s, r, "on the left or on the right", side_word);
}
static bool ask_height(SceneQuestion *q, const Scene *s, SceneRandom *r)
{
    return ask_which(q, s, r, "at the top or at the bottom", height_word);
}
static bool ask_size(SceneQuestion *q, const Scene *s, SceneRandom *r) { return ask_which(q, s, r, "small or large", size_word); }

/* Another object than o, nameable like it; NULL when the one drawn is not. */
static const SceneObject *choose_other(const Scene *s, const SceneObject *o, SceneRandom *r)
{
    const SceneObject *p = &s->object[scene_below(r, (uint32_t)s->n)];
    return p != o && is_unique(s, o) && is_unique(s, p) ? p : NULL;
}

static bool ask_relation(SceneQuestion *q, const Scene *s, SceneRandom *r)
{
    const double clear = 0.15;
    const SceneObject *o = &s->object[q->about], *p = choose_other(s, o, r);
    if (!p)
        return false;
    bool across = scene_below(r, 2);
    double d = across ? o->x - p->x : o->y - p->y;
    PUT(q->ask, across ? "Is the %s %s left or right of the %s %s?" : "Is the %s %s above or below the %s %s?", COLORS[o->color],
        SHAPES[o->shape], COLORS[p->color], SHAPES[p->shape]);
    PUT(q->answer, "%s", across ? (d < 0 ? "left" : "right") : d < 0 ? "above" : "below");
    return d > clear || d < -clear;
}

static bool ask_larger(SceneQuestion *q, const Scene *s, SceneRandom *r)
{
    const SceneObject *o = &s->object[q->about], *p = choose_other(s, o, r);
    if (!p || o->large == p->large || o->shape == p->shape)
        return false;
    const SceneObject *first = scene_below(r, 2) ? o : p, *second = first == o ? p : o;
    PUT(q->ask, "Which is larger, the %s %s or the %s %s?", COLORS[first->color], SHAPES[first->shape], COLORS[second->color],
        SHAPES[second->shape]);
    PUT(q->answer, "%s", SHAPES[o->large ? o->shape : p->shape]);
    return true;
}

static bool ask_background(SceneQuestion *q, const Scene *s, SceneRandom *r)
{
    (void)r;
    PUT(q->ask, "Is the background plain, striped or checked?");
    PUT(q->answer, "%s", PATTERNS[s->pattern]);
    return true;
}

/* Named by both traits, by one, or by its quarter of the picture, whichever of them tells it from the others. */
static bool ask_refer(SceneQuestion *q, const Scene *s, SceneRandom *r)
{
    const SceneObject *o = &s->object[q->about];
    int same_place = 0;
    for (int i = 0; i < s->n; i++)
        same_place += side_word(&s->object[i]) == side_word(o) && height_word(&s->object[i]) == height_word(o);
    bool told = false;
    switch (scene_below(r, 4)) {
    case 0:
        PUT(q->ask, "Describe the %s.", SHAPES[o->shape]);
        told = matching(s, o->shape, -1) == 1;
        break;
    case 1:
        PUT(q->ask, "Describe the %s object.", COLORS[o->color]);
        told = matching(s, -1, o->color) == 1;
        break;
    case 2:
        PUT(q->ask, "Describe the object at the %s %s.", height_word(o), side_word(o));
        told = same_place == 1;
        break;
    default: PUT(q->ask, "Describe the %s %s.", COLORS[o->color], SHAPES[o->shape]); told = is_unique(s, o);
    }
    put_description(q->answer, sizeof q->answer, o);
    return told;
}

static bool ask_caption(SceneQuestion *q, const Scene *s, SceneRandom *r)
{
    PUT(q->ask, "%s", scene_below(r, 2) ? "Describe the picture." : "What does the picture show?");
    int n = PUT(q->answer, "%s object%s:", NUMBERS[s->n], status_plural(s->n));
    for (int i = 0; i < s->n; i++) {
        const SceneObject *o = &s->object[i];
        n += snprintf(q->answer + n, sizeof q->answer - (size_t)n, " ");
        n += put_description(q->answer + n, sizeof q->answer - (size_t)n, o);
        n += snprintf(q->answer + n, sizeof q->answer - (size_t)n, "%s", i + 1 < s->n ? "," : ".");
    }
    return true;
}

bool scene_ask(SceneQuestion *q, const Scene *s, SceneKind kind, SceneRandom *r)
{
    static const struct {
        bool (*ask)(SceneQuestion *q, const Scene *s, SceneRandom *r);
        bool has_object; /* it is about one */
    } ASK[SCENE_KINDS] = {
        [SCENE_COLOR] = {ask_color, true},       [SCENE_SHAPE] = {ask_shape, true},   [SCENE_COUNT] = {ask_count, false},
        [SCENE_EXISTS] = {ask_exists, true},     [SCENE_SIDE] = {ask_side, true},     [SCENE_HEIGHT] = {ask_height, true},
        [SCENE_RELATION] = {ask_relation, true}, [SCENE_SIZE] = {ask_size, true},     [SCENE_LARGER] = {ask_larger, true},
        [SCENE_BACKGROUND] = {ask_background, false}, [SCENE_REFER] = {ask_refer, true},
        [SCENE_CAPTION] = {ask_caption, false},
    };
    q->about = ASK[kind].has_object ? choose_object(s, r) : -1;
    return ASK[kind].ask(q, s, r);
}

void scene_compose_for(Scene *s, SceneQuestion *q, SceneKind kind, SceneRandom *r, bool heldout, int most)
{
    do {
        scene_compose(s, r, heldout, 1 + (int)scene_below(r, (uint32_t)most));
    } while (!scene_ask(q, s, kind, r));
}
