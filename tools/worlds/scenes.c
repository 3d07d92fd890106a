/* Composing and drawing. All arithmetic is +, -, *, / on integers and doubles, so the bytes are the same on every machine. */
#include "tools/worlds/scenes.h"

#include <string.h>

#include "kernels/base/philox.h"

enum { CIRCLE, SQUARE, TRIANGLE, STAR, CROSS, RING };
enum { PLAIN, STRIPED, CHECKED };

static const uint8_t PALETTE[SCENE_COLORS][3] = {
    {215, 35, 35}, {245, 135, 20}, {245, 220, 50}, {40, 160, 60}, {70, 205, 215}, {45, 75, 215}, {135, 50, 170}, {250, 150, 195},
};

/* ---------------------------------------------------------------- random numbers */

SceneRandom scene_random(uint64_t seed, bool heldout, uint64_t number)
{
    return (SceneRandom){.key = philox_key(seed, RANDOM_SCENES, heldout, number)};
}

static uint32_t next_word(SceneRandom *r)
{
    if (!r->left) {
        Philox4 z = philox4x32(r->key, r->counter++, 0, 0, 0);
        memcpy(r->words, z.v, sizeof r->words);
        r->left = 4;
    }
    return r->words[--r->left];
}

uint32_t scene_below(SceneRandom *r, uint32_t n) { return (uint32_t)((uint64_t)next_word(r) * n >> 32); }
static double draw_between(SceneRandom *r, double low, double high) { return low + (high - low) * philox_uniform(next_word(r)); }

static uint8_t clamp8(int v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }

/* ---------------------------------------------------------------- composing */

/* Each colour misses one shape. */
bool scene_is_held_out(int shape, int color) { return shape == (color + 2) % SCENE_SHAPES; }

static void choose_look(SceneObject *o, SceneRandom *r, bool held_out)
{
    do {
        o->shape = (int)scene_below(r, SCENE_SHAPES);
        o->color = (int)scene_below(r, SCENE_COLORS);
    } while (scene_is_held_out(o->shape, o->color) != held_out);
    o->large = scene_below(r, 2);
    o->radius = o->large ? draw_between(r, 0.195, 0.22) : draw_between(r, 0.12, 0.14);
    double t = draw_between(r, -0.06, 0.06); /* tangent of half the angle: 7 degrees at most */
    o->cosine = (1 - t * t) / (1 + t * t);
    o->sine = 2 * t / (1 + t * t);
    for (int c = 0; c < 3; c++)
        o->rgb[c] = clamp8(PALETTE[o->color][c] + (int)scene_below(r, 31) - 15);
}

/* Inside the picture, off its two middle lines so that sides are clear, and clear of the first n objects. */
static bool choose_place(SceneObject *o, const Scene *s, int n, SceneRandom *r)
{
    const double margin = 0.02, middle = 0.07, gap = 0.03;
    enum { TRIES = 40 };
    for (int k = 0; k < TRIES; k++) {
        double side[2];
        for (int i = 0; i < 2; i++) {
            double near = draw_between(r, o->radius + margin, 0.5 - middle);
            side[i] = scene_below(r, 2) ? near : 1 - near;
        }
        o->x = side[0];
        o->y = side[1];
        bool clear = true;
        for (int i = 0; i < n && clear; i++) {
            const SceneObject *p = &s->object[i];
            double dx = o->x - p->x, dy = o->y - p->y, reach = o->radius + p->radius + gap;
            clear = dx * dx + dy * dy >= reach * reach;
        }
        if (clear)
            return true;
    }
    return false;
}

static bool reads_before(const SceneObject *a, const SceneObject *b)
{
    int qa = (a->y > 0.5) * 2 + (a->x > 0.5), qb = (b->y > 0.5) * 2 + (b->x > 0.5);
    return qa != qb ? qa < qb : a->x < b->x;
}

static void sort_objects(Scene *s)
{
    for (int i = 1; i < s->n; i++)
        for (int j = i; j > 0 && reads_before(&s->object[j], &s->object[j - 1]); j--) {
            SceneObject swap = s->object[j];
            s->object[j] = s->object[j - 1];
            s->object[j - 1] = swap;
            if (s->subject == j || s->subject == j - 1)
                s->subject = s->subject == j ? j - 1 : j;
        }
}

static void choose_ground(Scene *s, SceneRandom *r)
{
    s->pattern = (int)scene_below(r, SCENE_PATTERNS);
    int level = 60 + (int)scene_below(r, 150), step = 28 + (int)scene_below(r, 18);
    for (int c = 0; c < 3; c++) {
        int tint = level + (int)scene_below(r, 25) - 12;
        s->ground[0][c] = clamp8(tint);
        s->ground[1][c] = clamp8(s->pattern == PLAIN ? tint : tint + (level > 130 ? -step : step));
    }
    s->period = draw_between(r, 0.16, 0.28);
    double t = draw_between(r, -1, 1); /* any direction; for the checked one it does not matter */
    s->slant_x = (1 - t * t) / (1 + t * t);
    s->slant_y = 2 * t / (1 + t * t);
    s->noise = 4 + (int)scene_below(r, 15);
    s->quality = 70 + (int)scene_below(r, 26);
}

static bool place_all(Scene *s, SceneRandom *r)
{
    for (int i = 0; i < s->n; i++)
        if (!choose_place(&s->object[i], s, i, r))
            return false;
    return true;
}

void scene_compose(Scene *s, SceneRandom *r, bool heldout, int n)
{
    enum { TRIES = 50 }; /* with the same objects, so that large ones are not rarer */
    *s = (Scene){.n = n, .subject = heldout ? 0 : -1};
    choose_ground(s, r);
    int tries = 0;
    do {
        for (int i = 0; i < n && tries % TRIES == 0; i++)
            choose_look(&s->object[i], r, heldout && i == 0);
        tries++;
    } while (!place_all(s, r));
    sort_objects(s);
}

/* ---------------------------------------------------------------- drawing */

/* A five-pointed star as ten corners on two circles. */
static bool in_star(double u, double v)
{
    static const double CORNERS[10][2] = {
        {0, -1}, {0.2645, -0.3641}, {0.9511, -0.3090}, {0.4280, 0.1391}, {0.5878, 0.8090},
        {0, 0.45}, {-0.5878, 0.8090}, {-0.4280, 0.1391}, {-0.9511, -0.3090}, {-0.2645, -0.3641},
    };
    bool inside = false;
    for (int i = 0, j = 9; i < 10; j = i++) {
        const double *a = CORNERS[i], *b = CORNERS[j];
        if ((a[1] > v) != (b[1] > v) && u < (b[0] - a[0]) * (v - a[1]) / (b[1] - a[1]) + a[0])
            inside = !inside;
    }
    return inside;
}

static double absolute(double x) { return x < 0 ? -x : x; }

/* (u, v) in units of the radius. */
static bool in_shape(int shape, double u, double v)
{
    double a = absolute(u), b = absolute(v), square = u * u + v * v;
    switch (shape) {
    case CIRCLE: return square <= 0.9;
    case SQUARE: return a <= 0.8 && b <= 0.8;
    case TRIANGLE: return v <= 0.7 && v >= -1 + 1.7 * a;
    case STAR: return in_star(u, v);
    case CROSS: return (a <= 0.3 && b <= 0.95) || (b <= 0.3 && a <= 0.95);
    default: return square <= 1 && square >= 0.36;
    }
}

static int floor_int(double x)
{
    int i = (int)x;
    return i - (i > x);
}

static const uint8_t *ground_at(const Scene *s, double x, double y)
{
    if (s->pattern == STRIPED)
        return s->ground[floor_int((x * s->slant_x + y * s->slant_y) / s->period) & 1];
    if (s->pattern == CHECKED)
        return s->ground[(floor_int(x / s->period) + floor_int(y / s->period)) & 1];
    return s->ground[0];
}

enum { FINE = 4 /* samples a pixel and side, for soft edges */ };

/* How many of the FINE·FINE samples of pixel (px, py) lie in the object. */
static int coverage(const SceneObject *o, int px, int py, int32_t size)
{
    int n = 0;
    for (int i = 0; i < FINE * FINE; i++) {
        double x = (px + (i % FINE + 0.5) / FINE) / size - o->x, y = (py + (i / FINE + 0.5) / FINE) / size - o->y;
        n += in_shape(o->shape, (x * o->cosine + y * o->sine) / o->radius, (y * o->cosine - x * o->sine) / o->radius);
    }
    return n;
}

static void draw_ground(uint8_t *rgb, const Scene *s, int32_t size)
{
    for (int32_t y = 0; y < size; y++)
        for (int32_t x = 0; x < size; x++, rgb += 3)
            memcpy(rgb, ground_at(s, (x + 0.5) / size, (y + 0.5) / size), 3);
}

static void draw_object(uint8_t *rgb, const SceneObject *o, int32_t size)
{
    int left = floor_int((o->x - o->radius) * size) - 1, top = floor_int((o->y - o->radius) * size) - 1;
    int side = (int)(2 * o->radius * size) + 4;
    for (int y = top < 0 ? 0 : top; y < top + side && y < size; y++)
        for (int x = left < 0 ? 0 : left; x < left + side && x < size; x++) {
            int n = coverage(o, x, y, size);
            uint8_t *p = rgb + ((size_t)y * (size_t)size + (size_t)x) * 3;
            for (int c = 0; n && c < 3; c++)
                p[c] = (uint8_t)((p[c] * (FINE * FINE - n) + o->rgb[c] * n) / (FINE * FINE));
        }
}

/* Grain: the mean of four bytes, nearly normal. */
static void add_noise(uint8_t *rgb, size_t n, int amplitude, SceneRandom *r)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t w = next_word(r);
        int sum = (int)(w & 255) + (int)(w >> 8 & 255) + (int)(w >> 16 & 255) + (int)(w >> 24) - 510;
        rgb[i] = clamp8(rgb[i] + sum * amplitude / 510);
    }
}

void scene_draw(uint8_t *rgb, const Scene *s, int32_t size, SceneRandom *r)
{
    draw_ground(rgb, s, size);
    for (int i = 0; i < s->n; i++)
        draw_object(rgb, &s->object[i], size);
    add_noise(rgb, (size_t)size * (size_t)size * 3, s->noise, r);
}
