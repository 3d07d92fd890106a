/* Reading a picture back: every judgement is of pixels alone. */
#include <math.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "tools/worlds/sketches.h"

enum { SHAPES = 4 };

static int chroma_at(const uint8_t *p)
{
    int low = p[0], high = p[0];
    for (int c = 1; c < 3; c++) {
        low = p[c] < low ? p[c] : low;
        high = p[c] > high ? p[c] : high;
    }
    return high - low;
}

/* Takes the patch of colour around `seed` out of `colored`, with those that touch it at a corner. Returns its pixels. */
static int take_patch(bool *patch, bool *colored, int32_t side, int seed)
{
    int *stack = mem_alloc((size_t)side * (size_t)side * sizeof *stack), n = 0, area = 0;
    memset(patch, 0, (size_t)side * (size_t)side);
    if (!stack)
        return 0;
    colored[seed] = false;
    stack[n++] = seed;
    while (n) {
        int at = stack[--n];
        patch[at] = true;
        area++;
        for (int y = at / side - 1; y <= at / side + 1; y++)
            for (int x = at % side - 1; x <= at % side + 1; x++)
                if (x >= 0 && y >= 0 && x < side && y < side && colored[y * side + x]) {
                    colored[y * side + x] = false;
                    stack[n++] = y * side + x;
                }
    }
    mem_free(stack);
    return area;
}

/* The largest patch of colour; specks of less than half a hundredth of the picture are no objects. */
static int find_object(SketchReading *r, const uint8_t *rgb, int32_t side)
{
    enum { COLORED = 72 };
    static bool colored[SKETCH_SIDE_MAX * SKETCH_SIDE_MAX], patch[SKETCH_SIDE_MAX * SKETCH_SIDE_MAX];
    int largest = 0, all = side * side;
    for (int i = 0; i < all; i++)
        colored[i] = chroma_at(rgb + 3 * i) > COLORED;
    memset(r->object, 0, sizeof r->object);
    for (int i = 0; i < all; i++) {
        if (!colored[i])
            continue;
        int area = take_patch(patch, colored, side, i);
        r->objects += area * 200 >= all;
        if (area > largest) {
            largest = area;
            memcpy(r->object, patch, (size_t)all);
        }
    }
    return largest * 200 >= all ? largest : 0;
}

/* Area and height of the centroid of a shape of radius 1. */
static void measure_shape(int shape, double *area, double *centroid)
{
    enum { N = 64 };
    int n = 0;
    double sum = 0;
    for (int i = 0; i < N * N; i++) {
        double u = 2.0 * (i % N + 0.5) / N - 1, v = 2.0 * (i / N + 0.5) / N - 1;
        if (sketch_in_shape(shape, u, v)) {
            n++;
            sum += v;
        }
    }
    *area = 4.0 * n / (N * N);
    *centroid = sum / n;
}

/* How well the object overlaps with a shape of its area: points of both over points of either. */
static double overlap_with(const SketchReading *r, int shape, int area, int32_t side)
{
    double unit, centroid;
    measure_shape(shape, &unit, &centroid);
    double radius = sqrt(area / unit), x0 = r->x * side, y0 = r->y * side - centroid * radius;
    int both = 0, either = 0;
    for (int i = 0; i < side * side; i++) {
        bool in = sketch_in_shape(shape, (i % side + 0.5 - x0) / radius, (i / side + 0.5 - y0) / radius);
        both += in && r->object[i];
        either += in || r->object[i];
    }
    return (double)both / either;
}

static int read_shape(const SketchReading *r, int area, int32_t side)
{
    const double alike = 0.6;
    double best = 0;
    int shape = -1;
    for (int k = 0; k < SHAPES; k++) {
        double overlap = overlap_with(r, k, area, side);
        if (overlap > best) {
            best = overlap;
            shape = k;
        }
    }
    return best < alike ? -1 : shape;
}

static int nearest(SketchTrait t, const double rgb[3], double within)
{
    int value = -1;
    double best = within * within;
    for (int k = 0; sketch_value_name(t, k); k++) {
        double d = 0, want[3];
        sketch_palette(want, t, k);
        for (int c = 0; c < 3; c++)
            d += (rgb[c] - want[c]) * (rgb[c] - want[c]);
        if (d < best) {
            best = d;
            value = k;
        }
    }
    return value;
}

/* Points of the mask whose neighbours are too: free of soft edges. */
static bool is_inner(const bool *mask, int32_t side, int at)
{
    int x = at % side, y = at / side;
    return mask[at] && x > 0 && y > 0 && x < side - 1 && y < side - 1 && mask[at - 1] && mask[at + 1] && mask[at - side] && mask[at + side];
}

/* Whether the object is at least a soft edge away. */
static bool is_outside(const bool *mask, int32_t side, int at)
{
    enum { EDGE = 2 };
    for (int y = at / side - EDGE; y <= at / side + EDGE; y++)
        for (int x = at % side - EDGE; x <= at % side + EDGE; x++)
            if (x >= 0 && y >= 0 && x < side && y < side && mask[y * side + x])
                return false;
    return true;
}

static void read_color(SketchReading *r, const uint8_t *rgb, int32_t side)
{
    int n = 0;
    for (int i = 0; i < side * side; i++)
        if (is_inner(r->object, side, i)) {
            n++;
            for (int c = 0; c < 3; c++)
                r->rgb[c] += rgb[3 * i + c];
        }
    for (int c = 0; c < 3; c++)
        r->rgb[c] /= n ? n : 1;
    r->trait[SKETCH_COLOR] = nearest(SKETCH_COLOR, r->rgb, 90);
}

/* A ground is flat: nowhere far from its mean. */
static void read_ground(SketchReading *r, const uint8_t *rgb, int32_t side)
{
    const double flat = 20;
    double mean[3] = {0}, square = 0;
    int n = 0;
    for (int i = 0; i < side * side; i++)
        if (is_outside(r->object, side, i)) {
            n++;
            for (int c = 0; c < 3; c++) {
                mean[c] += rgb[3 * i + c];
                square += (double)rgb[3 * i + c] * rgb[3 * i + c];
            }
        }
    n = n ? n : 1;
    for (int c = 0; c < 3; c++) {
        mean[c] /= n;
        square -= n * mean[c] * mean[c];
    }
    r->trait[SKETCH_GROUND] = square / (3 * n) > flat * flat ? -1 : nearest(SKETCH_GROUND, mean, 60);
}

void sketch_read(SketchReading *r, const uint8_t *rgb, int32_t side)
{
    *r = (SketchReading){.trait = {-1, -1, -1, -1}};
    int area = find_object(r, rgb, side);
    read_ground(r, rgb, side);
    if (!area)
        return;
    for (int i = 0; i < side * side; i++)
        if (r->object[i]) {
            r->x += (i % side + 0.5) / side / area;
            r->y += (i / side + 0.5) / side / area;
        }
    r->trait[SKETCH_PLACE] = (r->y > 0.5) * 2 + (r->x > 0.5);
    r->trait[SKETCH_SHAPE] = read_shape(r, area, side);
    read_color(r, rgb, side);
}

/* Mean difference of the grounds, where both pictures show theirs. */
static double compare_grounds(const SketchReading *a, const SketchReading *b, const uint8_t *before, const uint8_t *got, int32_t side)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < side * side; i++)
        if (is_outside(a->object, side, i) && is_outside(b->object, side, i)) {
            n += 3;
            for (int c = 0; c < 3; c++)
                sum += fabs((double)got[3 * i + c] - before[3 * i + c]);
        }
    return sum / (n ? n : 1);
}

bool sketch_kept(const uint8_t *before, const uint8_t *got, int32_t side, SketchTrait change)
{
    const double most_ground = 10, most_color = 30, most_shift = 0.06, least_overlap = 0.6;
    static SketchReading a, b;
    sketch_read(&a, before, side);
    sketch_read(&b, got, side);
    int both = 0, either = 0;
    for (int i = 0; i < side * side; i++) {
        both += a.object[i] && b.object[i];
        either += a.object[i] || b.object[i];
    }
    bool kept = change == SKETCH_GROUND || compare_grounds(&a, &b, before, got, side) <= most_ground;
    for (int c = 0; c < 3; c++)
        kept = kept && (change == SKETCH_COLOR || fabs(a.rgb[c] - b.rgb[c]) <= most_color);
    kept = kept && (change == SKETCH_PLACE || fabs(a.x - b.x) + fabs(a.y - b.y) <= most_shift);
    return kept && (change == SKETCH_PLACE || change == SKETCH_SHAPE || both >= least_overlap * either);
}
