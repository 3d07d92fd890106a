/* groupnorm.c: GroupNorm with SiLU (ops/norm.h), compiled once for each instruction set.
 *
 * The channels of a row belong to many groups, so everything is summed by channel first. The pixels of an image are cut into chunks that
 * stay in the cache, by the shape alone: what they leave in the shared memory is put together in their order, whoever made it. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/isa/isa.h"
#include "kernels/cpu/isa/vmath.h"

enum { CHUNK = 1 << 15, CHUNKS_MAX = 64, LANES = 16, ROWS_AT_ONCE = 4 };

/* Nanoseconds an element, for parallel_for. */
static const double SUM_NS = 0.2, SILU_NS = 0.5;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t largest(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t padded(int64_t cols) { return (cols + LANES - 1) / LANES * LANES; }

typedef struct Cut {
    int64_t pixels, chunks, images; /* pixels of a chunk, chunks of an image, images whose chunks the shared memory holds */
} Cut;

/* A chunk leaves two numbers a channel; half of the shared memory is for that. */
static Cut cut_images(int64_t pixels, int64_t cols)
{
    const int64_t room = SHARED_BYTES / 2, left = 2 * (int64_t)sizeof(double) * largest(padded(cols), LANES);
    const int64_t most = least(CHUNKS_MAX, room / left);
    Cut c = {.pixels = largest(largest(CHUNK / largest(cols, 1), (pixels + most - 1) / most), 1)};
    c.chunks = (pixels + c.pixels - 1) / c.pixels;
    c.images = room / (left * largest(c.chunks, 1));
    return c;
}

/* The rows of chunk `item` of the images from `first` on. */
typedef struct Rows {
    int64_t image, begin, end;
} Rows;

static Rows rows_of(const Cut *c, int64_t pixels, int64_t first, int64_t item)
{
    int64_t image = first + item / c->chunks, from = item % c->chunks * c->pixels;
    return (Rows){image, image * pixels + from, image * pixels + least(from + c->pixels, pixels)};
}

/* A number of each group of an image, for every channel. */
static void spread(float *to, const float *of_group, int64_t cols, int64_t groups)
{
    for (int64_t j = 0, k = 0; k < groups; k++)
        for (int64_t end = j + cols / groups; j < end; j++)
            to[j] = of_group[k];
}

static void widen(float *to, const void *from, DType t, int64_t cols)
{
    EACH_VECTOR(0, cols, v_store(to + i, part_load(from, t, i, part)));
}

/* ---------------------------------------------------------------- forward */

typedef struct Moments {
    double mean, squares; /* squares: Σ (x - mean)² */
} Moments;

typedef struct Forward {
    const GroupNormFwd *a;
    Cut cut;
    int64_t first;    /* of the images in hand */
    Moments *moments; /* [images in hand, chunks, groups] */
} Forward;

ALWAYS vf sum_at(const void *x, DType t, int64_t at, int64_t i, Part part, const float *mean, bool squares)
{
    vf v = part_load(x, t, at + i, part);
    if (!squares)
        return v;
    v = v_sub(v, v_load(mean + i));
    return v_mul(v, v);
}

/* sum[j] += the sum of n <= ROWS_AT_ONCE rows from `row` on: of x, or of (x - mean)². */
ALWAYS void add_rows_of(const GroupNormFwd *a, DType t, int64_t row, const int n, Part part, int64_t i, const float *mean, bool squares,
                        float *sum)
{
    vf total = v_load(sum + i);
    UNROLL for (int r = 0; r < n; r++)
        total = v_add(total, sum_at(a->x, t, (row + r) * a->cols, i, part, mean, squares));
    v_store(sum + i, total);
}

ALWAYS void sum_columns(const GroupNormFwd *a, DType t, Rows rows, const float *mean, bool squares, float *sum)
{
    memset(sum, 0, (size_t)padded(a->cols) * sizeof *sum);
    int64_t row = rows.begin;
    for (; row + ROWS_AT_ONCE <= rows.end; row += ROWS_AT_ONCE)
        EACH_VECTOR(0, a->cols, add_rows_of(a, t, row, ROWS_AT_ONCE, part, i, mean, squares, sum));
    for (; row < rows.end; row++)
        EACH_VECTOR(0, a->cols, add_rows_of(a, t, row, 1, part, i, mean, squares, sum));
}

static double sum_group(const float *sum, int64_t width, int64_t k)
{
    double total = 0;
    for (int64_t j = k * width; j < (k + 1) * width; j++)
        total += (double)sum[j];
    return total;
}

static void chunk_moments(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Forward *f = args;
    const GroupNormFwd *a = f->a;
    float *sum = workspace, *mean = sum + padded(a->cols), *of_group = mean + padded(a->cols);
    int64_t width = a->cols / a->groups;
    for (int64_t item = begin; item < end; item++) {
        Rows rows = rows_of(&f->cut, a->pixels, f->first, item);
        Moments *m = f->moments + item * a->groups;
        double n = (double)((rows.end - rows.begin) * width);
        BY_TYPE(a->act, sum_columns(a, T, rows, NULL, false, sum));
        for (int64_t k = 0; k < a->groups; k++) {
            m[k].mean = sum_group(sum, width, k) / n;
            of_group[k] = (float)m[k].mean;
        }
        spread(mean, of_group, a->cols, a->groups);
        BY_TYPE(a->act, sum_columns(a, T, rows, mean, true, sum));
        for (int64_t k = 0; k < a->groups; k++) { /* taken around the rounded mean */
            double off = m[k].mean - (double)of_group[k];
            m[k].squares = sum_group(sum, width, k) - n * off * off;
        }
    }
}

/* Mean and rstd of a group from the moments of its chunks. */
static void merge_moments(const Forward *f, int64_t image, int64_t k)
{
    const GroupNormFwd *a = f->a;
    int64_t width = a->cols / a->groups;
    double n = (double)(a->pixels * width), mean = 0, squares = 0;
    const Moments *m = f->moments + (image - f->first) * f->cut.chunks * a->groups + k;
    for (int64_t c = 0; c < f->cut.chunks; c++) {
        Rows rows = rows_of(&f->cut, a->pixels, 0, c);
        mean += (double)((rows.end - rows.begin) * width) * m[c * a->groups].mean / n;
    }
    for (int64_t c = 0; c < f->cut.chunks; c++) {
        Rows rows = rows_of(&f->cut, a->pixels, 0, c);
        double d = m[c * a->groups].mean - mean;
        squares += m[c * a->groups].squares + (double)((rows.end - rows.begin) * width) * d * d;
    }
    ((float *)a->mean)[image * a->groups + k] = (float)mean;
    ((float *)a->rstd)[image * a->groups + k] = (float)(1 / sqrt((n > 0 ? squares / n : 0) + a->eps));
}

/* What is the same in all rows of an image, for every channel. */
typedef struct Channels {
    float *mean, *rstd, *w, *b, *mean_g, *mean_gx; /* the last two: of the backward */
} Channels;

static Channels channels(void *workspace, int64_t cols)
{
    float *p = workspace;
    int64_t n = padded(cols);
    return (Channels){p, p + n, p + 2 * n, p + 3 * n, p + 4 * n, p + 5 * n};
}

ALWAYS vf unit_at(const Channels *c, vf x, int64_t i) { return v_mul(v_sub(x, v_load(c->mean + i)), v_load(c->rstd + i)); }
ALWAYS vf affine_at(const Channels *c, vf unit, int64_t i) { return v_fma(v_load(c->w + i), unit, v_load(c->b + i)); }

ALWAYS void normalise(const GroupNormFwd *a, DType t, const Channels *c, bool silu, int64_t row, int64_t i, Part part)
{
    vf z = affine_at(c, unit_at(c, part_load(a->x, t, row * a->cols + i, part), i), i);
    part_store(a->y, t, row * a->cols + i, part, silu ? v_mul(z, v_sigmoid(z)) : z);
}

ALWAYS void normalise_rows(const GroupNormFwd *a, DType t, const Channels *c, bool silu, Rows rows)
{
    for (int64_t row = rows.begin; row < rows.end; row++)
        EACH_VECTOR(0, a->cols, normalise(a, t, c, silu, row, i, part));
}

static void chunk_normalise(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Forward *f = args;
    const GroupNormFwd *a = f->a;
    Channels c = channels(workspace, a->cols);
    widen(c.w, a->w, a->w_type, a->cols);
    widen(c.b, a->b, a->w_type, a->cols);
    for (int64_t item = begin, image = -1; item < end; item++) {
        Rows rows = rows_of(&f->cut, a->pixels, f->first, item);
        if (rows.image != image) {
            image = rows.image;
            spread(c.mean, (const float *)a->mean + image * a->groups, a->cols, a->groups);
            spread(c.rstd, (const float *)a->rstd + image * a->groups, a->cols, a->groups);
        }
        if (a->silu)
            BY_TYPE(a->act, normalise_rows(a, T, &c, true, rows));
        else
            BY_TYPE(a->act, normalise_rows(a, T, &c, false, rows));
    }
}

static Status groupnorm_fwd(KernelCtx *ctx, const GroupNormFwd *a)
{
    TRY(check_groupnorm_fwd(a));
    TRY(expect_single("groupnorm_fwd", a->act));
    TRY(expect_single("groupnorm_fwd", a->w_type));
    CpuDevice *d = cpu_device(ctx);
    Forward f = {.a = a, .cut = cut_images(a->pixels, a->cols)};
    f.moments = cpu_shared(d, least(f.cut.images, a->images) * f.cut.chunks * a->groups * (int64_t)sizeof *f.moments);
    if (!f.moments)
        return OK;
    double elements = (double)(f.cut.pixels * a->cols);
    for (f.first = 0; f.first < a->images; f.first += f.cut.images) {
        int64_t images = least(f.cut.images, a->images - f.first), items = images * f.cut.chunks;
        parallel_for(d, items, SUM_NS * elements, chunk_moments, &f);
        for (int64_t i = 0; i < images * a->groups; i++)
            merge_moments(&f, f.first + i / a->groups, i % a->groups);
        parallel_for(d, items, (a->silu ? SILU_NS : SUM_NS) * elements, chunk_normalise, &f);
    }
    return OK;
}

/* ---------------------------------------------------------------- backward */

typedef struct Backward {
    const GroupNormBwd *a;
    Cut cut;
    int64_t first, images; /* in hand */
    float *part;           /* [images in hand, chunks, 2, padded]: Σ dz, Σ dz∘x̂ over a chunk */
    float *total;          /* [images in hand, 2, padded]: over an image */
} Backward;

static void load_channels(const GroupNormBwd *a, int64_t image, const Channels *c)
{
    spread(c->mean, (const float *)a->mean + image * a->groups, a->cols, a->groups);
    spread(c->rstd, (const float *)a->rstd + image * a->groups, a->cols, a->groups);
}

/* dz of one vector, and x̂. */
ALWAYS vf gradient_at(const GroupNormBwd *a, DType t, const Channels *c, bool silu, int64_t row, int64_t i, Part part, vf *unit)
{
    vf dy = part_load(a->dy, t, row * a->cols + i, part), s, complement;
    *unit = unit_at(c, part_load(a->x, t, row * a->cols + i, part), i);
    if (!silu)
        return dy;
    vf z = affine_at(c, *unit, i);
    v_sigmoids(z, &s, &complement);
    return v_mul(dy, v_mul(s, v_fma(z, complement, v_set(1.0f))));
}

ALWAYS void sum_gradient(const GroupNormBwd *a, DType t, const Channels *c, bool silu, int64_t row, const int n, int64_t i, Part part,
                         float *sum)
{
    vf dz_sum = v_load(sum + i), product_sum = v_load(sum + padded(a->cols) + i), unit;
    UNROLL for (int r = 0; r < n; r++) {
        vf dz = gradient_at(a, t, c, silu, row + r, i, part, &unit);
        dz_sum = v_add(dz_sum, dz);
        product_sum = v_fma(dz, unit, product_sum);
    }
    v_store(sum + i, dz_sum);
    v_store(sum + padded(a->cols) + i, product_sum);
}

ALWAYS void sum_rows(const GroupNormBwd *a, DType t, const Channels *c, bool silu, Rows rows, float *sum)
{
    int64_t row = rows.begin;
    for (; row + 2 <= rows.end; row += 2)
        EACH_VECTOR(0, a->cols, sum_gradient(a, t, c, silu, row, 2, i, part, sum));
    for (; row < rows.end; row++)
        EACH_VECTOR(0, a->cols, sum_gradient(a, t, c, silu, row, 1, i, part, sum));
}

static void chunk_sums(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Backward *g = args;
    const GroupNormBwd *a = g->a;
    Channels c = channels(workspace, a->cols);
    widen(c.w, a->w, a->w_type, a->cols);
    widen(c.b, a->b, a->w_type, a->cols);
    for (int64_t item = begin; item < end; item++) {
        Rows rows = rows_of(&g->cut, a->pixels, g->first, item);
        float *sum = g->part + item * 2 * padded(a->cols);
        load_channels(a, rows.image, &c);
        memset(sum, 0, 2 * (size_t)padded(a->cols) * sizeof *sum);
        if (a->silu)
            BY_TYPE(a->act, sum_rows(a, T, &c, true, rows, sum));
        else
            BY_TYPE(a->act, sum_rows(a, T, &c, false, rows, sum));
    }
}

/* The sums of VL channels over the chunks of each image, and over all images in hand: db and dw. */
static void total_columns(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Backward *g = args;
    const GroupNormBwd *a = g->a;
    const int64_t n = padded(a->cols);
    (void)workspace;
    for (int64_t i = begin * VL; i < end * VL; i += VL)
        for (int which = 0; which < 2; which++) {
            vd all = vd_zero();
            for (int64_t image = 0; image < g->images; image++) {
                vd sum = vd_zero();
                for (int64_t k = image * g->cut.chunks; k < (image + 1) * g->cut.chunks; k++)
                    sum = vd_add(sum, v_load(g->part + (2 * k + which) * n + i));
                v_store(g->total + (2 * image + which) * n + i, vd_round(sum));
                all = vd_add(all, vd_round(sum));
            }
            float *out = which ? a->dw : a->db;
            Part part = part_first(least(VL, a->cols - i));
            if (out)
                part_store(out, F32, i, part,
                           a->accumulate_w || g->first ? v_add(vd_round(all), part_load(out, F32, i, part)) : vd_round(all));
        }
}

/* mean(g) and mean(g∘x̂) of an image's groups, for every channel. */
static void group_means(const Backward *g, int64_t image, const Channels *c)
{
    const GroupNormBwd *a = g->a;
    int64_t width = a->cols / a->groups;
    const float *dz = g->total + 2 * (image - g->first) * padded(a->cols), *product = dz + padded(a->cols);
    for (int64_t k = 0; k < a->groups; k++) {
        double sum = 0, product_sum = 0, n = (double)(a->pixels * width);
        for (int64_t j = k * width; j < (k + 1) * width; j++) {
            sum += (double)c->w[j] * (double)dz[j];
            product_sum += (double)c->w[j] * (double)product[j];
        }
        for (int64_t j = k * width; j < (k + 1) * width; j++) {
            c->mean_g[j] = (float)(sum / n);
            c->mean_gx[j] = (float)(product_sum / n);
        }
    }
}

ALWAYS void input_gradient(const GroupNormBwd *a, DType t, const Channels *c, bool silu, int64_t row, int64_t i, Part part)
{
    vf unit, dz = gradient_at(a, t, c, silu, row, i, part, &unit), g = v_mul(dz, v_load(c->w + i));
    vf dx = v_mul(v_load(c->rstd + i), v_fnma(unit, v_load(c->mean_gx + i), v_sub(g, v_load(c->mean_g + i))));
    if (a->accumulate)
        dx = v_add(dx, part_load(a->dx, t, row * a->cols + i, part));
    part_store(a->dx, t, row * a->cols + i, part, dx);
}

ALWAYS void input_rows(const GroupNormBwd *a, DType t, const Channels *c, bool silu, Rows rows)
{
    for (int64_t row = rows.begin; row < rows.end; row++)
        EACH_VECTOR(0, a->cols, input_gradient(a, t, c, silu, row, i, part));
}

static void chunk_input(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Backward *g = args;
    const GroupNormBwd *a = g->a;
    Channels c = channels(workspace, a->cols);
    widen(c.w, a->w, a->w_type, a->cols);
    widen(c.b, a->b, a->w_type, a->cols);
    for (int64_t item = begin, image = -1; item < end; item++) {
        Rows rows = rows_of(&g->cut, a->pixels, g->first, item);
        if (rows.image != image) {
            image = rows.image;
            load_channels(a, image, &c);
            group_means(g, image, &c);
        }
        if (a->silu)
            BY_TYPE(a->act, input_rows(a, T, &c, true, rows));
        else
            BY_TYPE(a->act, input_rows(a, T, &c, false, rows));
    }
}

static Status groupnorm_bwd(KernelCtx *ctx, const GroupNormBwd *a)
{
    TRY(check_groupnorm_bwd(a));
    TRY(expect_single("groupnorm_bwd", a->act));
    TRY(expect_single("groupnorm_bwd", a->w_type));
    CpuDevice *d = cpu_device(ctx);
    Backward g = {.a = a, .cut = cut_images(a->pixels, a->cols)};
    const int64_t sums = least(g.cut.images, a->images) * 2 * padded(a->cols);
    g.part = cpu_shared(d, (g.cut.chunks + 1) * sums * (int64_t)sizeof *g.part);
    if (!g.part)
        return OK;
    g.total = g.part + g.cut.chunks * sums;
    double ns = (a->silu ? SILU_NS : SUM_NS) * (double)(g.cut.pixels * a->cols);
    do { /* without images too: the sums are zero */
        g.images = least(g.cut.images, a->images - g.first);
        parallel_for(d, g.images * g.cut.chunks, ns, chunk_sums, &g);
        parallel_for(d, (a->cols + VL - 1) / VL, SUM_NS * 2 * VL * (double)(g.images * g.cut.chunks), total_columns, &g);
        if (a->dx)
            parallel_for(d, g.images * g.cut.chunks, ns, chunk_input, &g);
        g.first += g.images;
    } while (g.first < a->images);
    return OK;
}

void NAME(groupnorm)(KernelTable *t)
{
    t->groupnorm_fwd = groupnorm_fwd;
    t->groupnorm_bwd = groupnorm_bwd;
}
