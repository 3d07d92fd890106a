/* Pillow's resampling (src/libImaging/Resample.c, the order of releases before 12.2: across, then down), row by row: a picture is
 * read through source_row(), so that a pad around it costs nothing, and only the rows that one output row needs are kept. */
#include "data/pictures/resize.h"

#include <math.h>
#include <string.h>

#include "data/pictures/image.h"
#include "kernels/base/arena.h"

/* ---------------------------------------------------------------- weights. The order of operations is Pillow's, to the last bit. */

static double triangle(double x)
{
    x = x < 0.0 ? -x : x;
    return x < 1.0 ? 1.0 - x : 0.0;
}

static inline double cubic(double x)
{
    const double a = -0.5;
    x = x < 0.0 ? -x : x;
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x)
{
    if (x == 0.0)
        return 1.0;
    x = x * 3.14159265358979323846;
    return sin(x) / x;
}

static double lanczos(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

typedef struct Kernel {
    const char *name;
    double (*at)(double x);
    double support;
} Kernel;

static const Kernel KERNELS[] = {
    [FILTER_NEAREST] = {"nearest", NULL, 0},
    [FILTER_LANCZOS] = {"lanczos", lanczos, 3.0},
    [FILTER_BILINEAR] = {"bilinear", triangle, 1.0},
    [FILTER_BICUBIC] = {"bicubic", cubic, 2.0},
};

static void axis_free(ResizeAxis *a)
{
    mem_free(a->first);
    mem_free(a->weight);
    mem_free(a->high);
    mem_free(a->low);
    *a = (ResizeAxis){0};
}

/* Where output i looks: `from`, and how many taps. */
static int32_t window(int32_t *from, double *centre, const ResizeAxis *a, double scale, double support, int32_t i)
{
    *centre = (i + 0.5) * scale;
    int32_t lo = (int32_t)(*centre - support + 0.5), hi = (int32_t)(*centre + support + 0.5);
    *from = lo < 0 ? 0 : lo;
    return (hi > a->in ? a->in : hi) - *from;
}

/* The n weights of one output, brought to sum 1 and to integers, from place `at` of the table on. */
static void store_weights(ResizeAxis *a, const double *k, double total, size_t at, int32_t n)
{
    bool narrow = true;
    for (int32_t j = 0; j < n; j++) {
        double scaled = (total != 0.0 ? k[j] / total : k[j]) * (1 << RESIZE_BITS);
        int32_t w = (int32_t)(scaled + copysign(0.5, scaled));
        a->weight[at + (size_t)j] = w;
        a->high[at + (size_t)j] = (int16_t)(w >> 8);
        a->low[at + (size_t)j] = (int16_t)(w & 255);
        narrow = narrow && w >> 8 == (int16_t)(w >> 8);
    }
    a->narrow = a->narrow && narrow;
}

static void fill_output(ResizeAxis *a, const Kernel *kernel, double scale, double stretch, double *k, int32_t i)
{
    double centre, total = 0.0, inverse = 1.0 / stretch;
    int32_t from, n = window(&from, &centre, a, scale, kernel->support * stretch, i);
    for (int32_t j = 0; j < n; j++) {
        k[j] = kernel->at((j + from - centre + 0.5) * inverse);
        total += k[j];
    }
    /* Near the far end the row of taps is moved back, with zeros in front, so that it stays inside the row. */
    int32_t back = from + a->taps > a->in ? from + a->taps - a->in : 0;
    back = back < from ? back : from;
    a->first[i] = from - back;
    store_weights(a, k, total, (size_t)i * (size_t)a->taps + (size_t)back, n);
}

static Status axis_create(ResizeAxis *a, int32_t in, int32_t out, const Kernel *kernel)
{
    double scale = (double)in / out, stretch = scale < 1.0 ? 1.0 : scale;
    *a = (ResizeAxis){.in = in, .out = out, .narrow = true};
    int32_t most = 1;
    for (int32_t i = 0; i < out; i++) {
        double centre;
        int32_t from, n = window(&from, &centre, a, scale, kernel->support * stretch, i);
        most = n > most ? n : most;
    }
    a->taps = (most + RESIZE_GROUP - 1) / RESIZE_GROUP * RESIZE_GROUP;
    size_t n_outputs = (size_t)out + RESIZE_GROUP - 1, n = n_outputs * (size_t)a->taps;
    a->first = mem_alloc(n_outputs * sizeof *a->first);
    a->weight = mem_alloc(n * sizeof *a->weight);
    a->high = mem_alloc(n * sizeof *a->high);
    a->low = mem_alloc(n * sizeof *a->low);
    double *k = mem_alloc((size_t)most * sizeof *k);
    bool good = a->first && a->weight && a->high && a->low && k;
    for (int32_t i = 0; good && i < out; i++)
        fill_output(a, kernel, scale, stretch, k, i);
    mem_free(k);
    for (size_t i = (size_t)out; good && i < n_outputs; i++)
        a->first[i] = a->first[out - 1];
    for (int32_t i = 0; good && i < out; i++) {
        size_t end = 3 * ((size_t)a->first[i] + (size_t)a->taps) + RESIZE_GROUP; /* a load takes 16 bytes for 4 pixels */
        a->reach = end > a->reach ? end : a->reach;
    }
    return good ? OK : fail(ERR_NOMEM, "resizing %d to %d pixels: no memory for %zu weights", in, out, n);
}

/* ---------------------------------------------------------------- a picture on its pad */

typedef struct Source {
    const Image *image;
    int32_t width, height, left, top; /* the canvas, and where the picture stands on it */
    uint8_t fill[3];
    size_t reach;        /* bytes that may be read from the start of a row */
    uint8_t *scratch[2]; /* rows of `reach` bytes, for even and odd y */
    uint8_t *blank;      /* a row of fill, likewise */
} Source;

static void fill_pixels(uint8_t *to, const uint8_t fill[3], size_t n)
{
    for (size_t i = 0; i < n; i++)
        memcpy(to + 3 * i, fill, 3);
}

static bool is_blank_row(const Source *s, int32_t y) { return y < s->top || y >= s->top + s->image->height; }

/* Row y of the canvas, readable to `reach`; valid until another row of the same parity is asked for. */
static const uint8_t *source_row(Source *s, int32_t y)
{
    if (is_blank_row(s, y))
        return s->blank;
    size_t stride = 3 * (size_t)s->image->width, at = (size_t)(y - s->top) * stride;
    bool whole = s->width == s->image->width && at + s->reach <= stride * (size_t)s->image->height;
    if (whole)
        return s->image->rgb + at;
    memcpy(s->scratch[y & 1] + 3 * (size_t)s->left, s->image->rgb + at, stride);
    return s->scratch[y & 1];
}

static Status source_init(Source *s, size_t reach)
{
    size_t row = 3 * (size_t)s->width;
    s->reach = reach > row ? reach : row;
    uint8_t **rows[3] = {&s->scratch[0], &s->scratch[1], &s->blank};
    for (int i = 0; i < 3; i++) {
        if (!(*rows[i] = mem_alloc(s->reach)))
            return fail(ERR_NOMEM, "resizing: no memory for a row of %d pixels", s->width);
        fill_pixels(*rows[i], s->fill, (size_t)s->width);
    }
    return OK;
}

/* ---------------------------------------------------------------- nearest: ImagingScaleAffine of Pillow's Geometry.c */

/* Which input each output takes. The position is summed up step by step, as Pillow does; NO_PIXEL stays black. */
enum { NO_PIXEL = -1 };

static void nearest_table(int32_t *table, int32_t in, int32_t out)
{
    double step = (double)in / out, at = step * 0.5;
    for (int32_t i = 0; i < out; i++, at += step)
        table[i] = (int32_t)at < in ? (int32_t)at : NO_PIXEL;
}

static Status resize_nearest(uint8_t *dst, Source *s, int32_t width, int32_t height)
{
    int32_t *columns = mem_alloc((size_t)width * sizeof *columns), *lines = mem_alloc((size_t)height * sizeof *lines);
    Status status = columns && lines ? source_init(s, 0) : fail(ERR_NOMEM, "resizing to %dx%d pixels: no memory", width, height);
    if (!status) {
        nearest_table(columns, s->width, width);
        nearest_table(lines, s->height, height);
        memset(dst, 0, (size_t)width * (size_t)height * 3);
    }
    for (int32_t y = 0; !status && y < height; y++) {
        const uint8_t *row = lines[y] == NO_PIXEL ? NULL : source_row(s, lines[y]);
        uint8_t *to = dst + (size_t)y * (size_t)width * 3;
        for (int32_t x = 0; row && x < width; x++)
            if (columns[x] != NO_PIXEL)
                memcpy(to + 3 * (size_t)x, row + 3 * (size_t)columns[x], 3);
    }
    mem_free(columns);
    mem_free(lines);
    return status;
}

/* ---------------------------------------------------------------- the filters */

typedef struct Pass {
    Source *source;
    ResizeAxis across, down;
    bool has_across, has_down; /* a side that keeps its size is not filtered */
    const ResizeLoops *loops;
    size_t row_bytes, slot_bytes; /* of an output row; with slack */
    int32_t n_slots, ready;       /* rows up to `ready` have been filtered across; row y lies in slot y mod n_slots */
    uint8_t *slots, *blank;       /* blank: what a row of pad becomes */
    const uint8_t **window;       /* [down.taps] */
} Pass;

static void filter_across(Pass *p, uint8_t *const to[2], const uint8_t *const rows[2])
{
    if (p->has_across) {
        p->loops->across(to, rows, &p->across);
        return;
    }
    for (int i = 0; i < 2; i++)
        memcpy(to[i], rows[i], p->row_bytes);
}

static uint8_t *slot(Pass *p, int32_t y) { return p->slots + (size_t)(y % p->n_slots) * p->slot_bytes; }

/* Row y of the canvas, filtered across together with the row below it; valid until n_slots - 1 rows later. */
static const uint8_t *row_across(Pass *p, int32_t y)
{
    if (is_blank_row(p->source, y))
        return p->blank;
    if (y > p->ready) {
        int32_t below = y + 1 < p->source->height && !is_blank_row(p->source, y + 1) ? y + 1 : y;
        const uint8_t *rows[2] = {source_row(p->source, y), source_row(p->source, below)};
        uint8_t *to[2] = {slot(p, y), slot(p, below)};
        filter_across(p, to, rows);
        p->ready = below;
    }
    return slot(p, y);
}

static void output_row(Pass *p, uint8_t *to, int32_t y)
{
    if (!p->has_down) {
        memcpy(to, row_across(p, y), p->row_bytes);
        return;
    }
    int32_t first = p->down.first[y];
    for (int32_t j = 0; j < p->down.taps; j++) /* taps beyond the canvas have weight 0 */
        p->window[j] = first + j < p->down.in ? row_across(p, first + j) : p->blank;
    p->loops->down(to, p->window, p->row_bytes, &p->down, y);
}

static Status pass_init(Pass *p, Source *s, int32_t width, int32_t height, const Kernel *kernel)
{
    *p = (Pass){.source = s, .has_across = width != s->width, .has_down = height != s->height, .ready = -1};
    if (p->has_across)
        TRY(axis_create(&p->across, s->width, width, kernel));
    if (p->has_down)
        TRY(axis_create(&p->down, s->height, height, kernel));
    TRY(source_init(s, p->across.reach));
    bool narrow = (!p->has_across || p->across.narrow) && (!p->has_down || p->down.narrow);
    p->loops = narrow ? resize_loops() : &RESIZE_PLAIN;
    p->row_bytes = 3 * (size_t)width;
    p->slot_bytes = p->row_bytes + RESIZE_SLACK;
    p->n_slots = (p->has_down ? p->down.taps : 1) + 1;
    p->slots = mem_alloc((size_t)p->n_slots * p->slot_bytes);
    p->blank = mem_alloc(p->slot_bytes);
    p->window = mem_alloc((size_t)p->n_slots * sizeof *p->window);
    if (!p->slots || !p->blank || !p->window)
        return fail(ERR_NOMEM, "resizing to %dx%d pixels: no memory for %d rows", width, height, p->n_slots);
    filter_across(p, (uint8_t *[2]){p->blank, p->blank}, (const uint8_t *[2]){s->blank, s->blank});
    return OK;
}

static Status resize_filtered(uint8_t *dst, Source *s, int32_t width, int32_t height, const Kernel *kernel)
{
    Pass p;
    Status status = pass_init(&p, s, width, height, kernel);
    for (int32_t y = 0; !status && y < height; y++)
        output_row(&p, dst + (size_t)y * p.row_bytes, y);
    axis_free(&p.across);
    axis_free(&p.down);
    mem_free(p.slots);
    mem_free(p.blank);
    mem_free(p.window);
    return status;
}

static Status resize_source(uint8_t *dst, Source *s, int32_t width, int32_t height, ImageFilter filter)
{
    if (width < 1 || height < 1 || s->width < 1 || s->height < 1)
        return fail(ERR_INTERNAL, "resizing %dx%d to %dx%d pixels: sides must be positive", s->width, s->height, width, height);
    if ((unsigned)filter >= sizeof KERNELS / sizeof KERNELS[0])
        return fail(ERR_INTERNAL, "resizing: no filter has the number %d", (int)filter);
    const Kernel *kernel = &KERNELS[filter];
    Status status = kernel->at ? resize_filtered(dst, s, width, height, kernel) : resize_nearest(dst, s, width, height);
    mem_free(s->scratch[0]);
    mem_free(s->scratch[1]);
    mem_free(s->blank);
    return status;
}

static Status resize_new(Image *out, Source *s, int32_t width, int32_t height, ImageFilter filter)
{
    *out = (Image){0};
    size_t size = width > 0 && height > 0 ? (size_t)width * (size_t)height * 3 : 0;
    uint8_t *rgb = mem_alloc(size);
    if (!rgb)
        return fail(ERR_NOMEM, "resizing to %dx%d pixels: no memory for %zu bytes", width, height, size);
    Status status = resize_source(rgb, s, width, height, filter);
    if (status)
        mem_free(rgb);
    else
        *out = (Image){width, height, rgb};
    return status;
}

Status image_resize(Image *out, const Image *in, int32_t width, int32_t height, ImageFilter filter)
{
    return resize_new(out, &(Source){.image = in, .width = in->width, .height = in->height}, width, height, filter);
}

Status image_match(Image *resized, const Image **a, const Image *b)
{
    *resized = (Image){0};
    if ((*a)->width == b->width && (*a)->height == b->height)
        return OK;
    TRY(image_resize(resized, *a, b->width, b->height, FILTER_BICUBIC));
    *a = resized;
    return OK;
}

/* Whole pixels nearest to half of n; of two the even one, as Python's round(n / 2). */
static int32_t half_to_even(int32_t n) { return n / 2 + (n % 2 && n / 2 % 2); }

static Status prepare_middle(uint8_t *dst, Source *s, const ImagePrep *prep)
{
    const int32_t side = prep->shorter, w = s->width, h = s->height;
    if (prep->height > side || prep->width > side || w < 1 || h < 1)
        return fail(ERR_INTERNAL, "the middle of %dx%d pixels, %dx%d: does not lie in a picture of %d", w, h, prep->width, prep->height,
                    side);
    const int64_t across = w <= h ? side : (int64_t)side * w / h, down = h <= w ? side : (int64_t)side * h / w;
    Image whole;
    TRY(resize_new(&whole, s, (int32_t)across, (int32_t)down, prep->filter));
    const int32_t over_x = whole.width - prep->width, over_y = whole.height - prep->height;
    const int32_t left = prep->rounds ? half_to_even(over_x) : over_x / 2, top = prep->rounds ? half_to_even(over_y) : over_y / 2;
    const size_t row = 3 * (size_t)prep->width, stride = 3 * (size_t)whole.width;
    const uint8_t *from = whole.rgb + (size_t)top * stride + 3 * (size_t)left;
    for (int32_t y = 0; y < prep->height; y++)
        memcpy(dst + (size_t)y * row, from + (size_t)y * stride, row);
    image_free(&whole);
    return OK;
}

ImagePrep image_prep_target(int32_t side, int64_t max_pixels)
{
    return (ImagePrep){.width = side, .height = side, .shorter = side, .rounds = true, .filter = FILTER_BILINEAR, .max_pixels = max_pixels};
}

Status image_prepare(uint8_t *dst, const Image *in, const ImagePrep *prep)
{
    Source s = {.image = in, .width = in->width, .height = in->height};
    memcpy(s.fill, prep->fill, sizeof s.fill);
    if (prep->pad) {
        s.width = s.height = in->width > in->height ? in->width : in->height;
        s.left = (s.width - in->width) / 2;
        s.top = (s.height - in->height) / 2;
    }
    if (prep->shorter)
        return prepare_middle(dst, &s, prep);
    return resize_source(dst, &s, prep->width, prep->height, prep->filter);
}
