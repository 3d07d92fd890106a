/* Composing and drawing. All arithmetic is +, -, *, / on integers and doubles, so the bytes are the same on every machine. */
#include "tools/worlds/sketches.h"

#include <stdio.h>
#include <string.h>

enum { CIRCLE, SQUARE, TRIANGLE, CROSS };

static const struct {
    const char *name, *value[SKETCH_VALUES + 1];
} TRAITS[SKETCH_TRAITS] = {
#define TRAIT_ROW(trait, name, ...) {name, {__VA_ARGS__, NULL}},
    SKETCH_TRAIT_LIST(TRAIT_ROW)
#undef TRAIT_ROW
};
static const uint8_t COLORS[SKETCH_VALUES][3] = {{215, 35, 35}, {240, 210, 40}, {25, 165, 55},
                                                 {45, 70, 215}, {60, 205, 220}, {230, 80, 190}};
static const uint8_t GROUNDS[] = {240, 128, 16};

const char *sketch_trait_name(SketchTrait t) { return TRAITS[t].name; }
const char *sketch_value_name(SketchTrait t, int value) { return value < 0 ? NULL : TRAITS[t].value[value]; }

static int count_values(SketchTrait t)
{
    int n = 0;
    while (TRAITS[t].value[n])
        n++;
    return n;
}

void sketch_palette(double rgb[3], SketchTrait t, int value)
{
    for (int c = 0; c < 3; c++)
        rgb[c] = t == SKETCH_GROUND ? GROUNDS[value] : COLORS[value][c];
}

/* ---------------------------------------------------------------- composing */

/* Each colour misses one shape. */
bool sketch_is_held_out(int shape, int color) { return shape == (color + 1) % 4; }

static bool belongs(const Sketch *s, SketchSplit split)
{
    return split == SKETCH_ANY || sketch_is_held_out(s->trait[SKETCH_SHAPE], s->trait[SKETCH_COLOR]) == (split == SKETCH_HELDOUT);
}

static double draw_between(SceneRandom *r, double low, double high) { return low + (high - low) * scene_below(r, 1 << 16) / (1 << 16); }

static void choose_tint(Sketch *s, SceneRandom *r)
{
    for (int c = 0; c < 3; c++)
        s->rgb[c] = (uint8_t)(COLORS[s->trait[SKETCH_COLOR]][c] + (int)scene_below(r, 17) - 8);
}

static void choose_spot(Sketch *s, SceneRandom *r)
{
    s->x = draw_between(r, -0.02, 0.02);
    s->y = draw_between(r, -0.02, 0.02);
}

void sketch_compose(Sketch *s, SceneRandom *r, SketchSplit split)
{
    do
        for (int t = 0; t < SKETCH_TRAITS; t++)
            s->trait[t] = (int)scene_below(r, (uint32_t)count_values((SketchTrait)t));
    while (!belongs(s, split));
    s->radius = draw_between(r, 0.19, 0.22);
    choose_spot(s, r);
    choose_tint(s, r);
}

SketchTrait sketch_change(Sketch *to, const Sketch *from, SceneRandom *r, SketchSplit split)
{
    SketchTrait t;
    do {
        *to = *from;
        t = (SketchTrait)scene_below(r, SKETCH_TRAITS);
        to->trait[t] = (int)scene_below(r, (uint32_t)count_values(t));
    } while (to->trait[t] == from->trait[t] || !belongs(to, split));
    if (t == SKETCH_COLOR)
        choose_tint(to, r);
    return t;
}

/* ---------------------------------------------------------------- drawing */

static double absolute(double x) { return x < 0 ? -x : x; }

bool sketch_in_shape(int shape, double u, double v)
{
    double a = absolute(u), b = absolute(v);
    switch (shape) {
    case CIRCLE: return u * u + v * v <= 0.9;
    case SQUARE: return a <= 0.8 && b <= 0.8;
    case TRIANGLE: return v <= 0.7 && v >= -1 + 1.7 * a;
    default: return (a <= 0.3 && b <= 0.95) || (b <= 0.3 && a <= 0.95);
    }
}

void sketch_draw(uint8_t *rgb, const Sketch *s, int32_t side)
{
    enum { FINE = 4 /* samples a pixel and side, for soft edges */, ALL = FINE * FINE };
    int place = s->trait[SKETCH_PLACE], ground = GROUNDS[s->trait[SKETCH_GROUND]];
    double x0 = 0.25 + 0.5 * (place % 2) + s->x, y0 = 0.25 + 0.5 * (place / 2) + s->y; /* NOLINT: row of two */
    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++, rgb += 3) {
            int n = 0;
            for (int i = 0; i < ALL; i++) {
                double u = (x + (i % FINE + 0.5) / FINE) / side - x0, v = (y + (i / FINE + 0.5) / FINE) / side - y0;
                n += sketch_in_shape(s->trait[SKETCH_SHAPE], u / s->radius, v / s->radius);
            }
            for (int c = 0; c < 3; c++)
                rgb[c] = (uint8_t)((ground * (ALL - n) + s->rgb[c] * n) / ALL);
        }
}

/* ---------------------------------------------------------------- words */

#define VALUE(s, t) TRAITS[t].value[(s)->trait[t]]
#define PUT(...) snprintf(out, SKETCH_TEXT, __VA_ARGS__)

void sketch_caption(char out[SKETCH_TEXT], const Sketch *s)
{
    PUT("%s %s %s on %s", VALUE(s, SKETCH_COLOR), VALUE(s, SKETCH_SHAPE), VALUE(s, SKETCH_PLACE), VALUE(s, SKETCH_GROUND));
}

void sketch_instruction(char out[SKETCH_TEXT], const Sketch *to, SketchTrait change)
{
    static const char *const FORM[SKETCH_TRAITS] = {"make it a %s", "make it %s", "move it to the %s", "make the ground %s"};
    PUT(FORM[change], VALUE(to, change));
}

void sketch_ask_to_draw(char out[SKETCH_TEXT], const Sketch *s, SceneRandom *r)
{
    const char *color = VALUE(s, SKETCH_COLOR), *shape = VALUE(s, SKETCH_SHAPE), *place = VALUE(s, SKETCH_PLACE),
               *ground = VALUE(s, SKETCH_GROUND);
    switch (scene_below(r, 4)) {
    case 0: PUT("Draw a %s %s in the %s on %s.", color, shape, place, ground); break;
    case 1: PUT("Draw a %s %s on a %s ground, in the %s.", color, shape, ground, place); break;
    case 2: PUT("In the %s of a %s picture, draw a %s %s.", place, ground, color, shape); break;
    default: PUT("I need a picture of a %s %s at the %s on %s.", color, shape, place, ground); break;
    }
}

void sketch_ask_to_change(char out[SKETCH_TEXT], const Sketch *from, const Sketch *to, SketchTrait change, SceneRandom *r)
{
    static const char *const FORMS[SKETCH_TRAITS][2] = {
        {"Make the %s a %s.", "Turn the %s into a %s."},
        {"Make the %s %s.", "Change the color of the %s to %s."},
        {"Move the %s to the %s.", "Put the %s in the %s."},
        {"Put the %s on a %s ground.", "Keep the %s, but make the ground %s."},
    };
    PUT(FORMS[change][scene_below(r, 2)], VALUE(from, SKETCH_SHAPE), VALUE(to, change));
}
