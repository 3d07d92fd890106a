/* winograd.c: 3×3 convolutions by way of Winograd's minimal filtering F(4×4,3×3) (winograd.h). Called by conv.c. Compiled once for each
 * instruction set.
 *
 * Source: Lavin & Gray 2015. A tile of 4×4 outputs is Aᵀ[(G g Gᵀ)∘(Bᵀ d B)]A of the 6×6 inputs d and the kernel g: 36 products
 * for 144, which become 36 matrix products [tiles,in]·[in,out]. The points are 0, ±3/4, ±3/2 and ∞: their powers are exact and close
 * to 1, so the result is about 1.5 times as far from the truth as a direct sum (with the usual 0, ±1, ±2: 7 times).
 *
 * A group of tiles is transformed into the shared memory. Then each thread takes its output channels, OB at a time: it transforms their
 * kernels, CHUNK input channels at a time, multiplies, and transforms back. Transformed kernels are not kept: they would take four times
 * the memory of the weights, and reading them costs more than making them from about 100 tiles on. */
#include "kernels/cpu/isa/winograd.h"

#include "kernels/cpu/isa/gemm.h"

/* POINTS: products of a tile. OB: output channels at a time, a multiple of NR. GROUP_ROWS: a multiple of the tallest tiles of gemm.h. */
enum { TILE = 4, PATCH = 6, POINTS = PATCH * PATCH, OB = 64, CHUNK = 320, GROUP_ROWS = 24, MOST_TILES = 16 * GROUP_ROWS };
_Static_assert(OB % NR == 0, "whole panels");

/* Transforms of a thread's kernels and products of a group. What belongs to a point lies a line further than a power of two from the next:
 * the lines of all points would else belong into one set of the first level cache. */
enum { U_POINT = CHUNK * OB + VL, M_POINT = MOST_TILES * OB + VL };
typedef struct Workspace {
    float u[POINTS * U_POINT], m[POINTS * M_POINT], kernel[9 * VL * VL];
} Workspace;
_Static_assert(sizeof(Workspace) <= WORKSPACE_BYTES, "the workspace of a convolution");

/* Tiles first … first+n-1 of the images; transformed, point p of tile t at v[p·point + t·row]. */
typedef struct Group {
    const Filtering *f;
    int64_t tiles_y, tiles_x, first, n, row, point;
    float *v;
} Group;

static int64_t tiles_along(int64_t n) { return (n + TILE - 1) / TILE; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
/* An odd number of lines from row to row. */
static int64_t row_floats(const Filtering *f) { return (f->in + VL - 1) / VL * VL + VL; }

/* Tiles of a group: as many as have room, shared evenly among the groups. */
static int64_t group_tiles(const Filtering *f, int64_t tiles)
{
    int64_t fit = (int64_t)(SHARED_BYTES / sizeof(float) / POINTS - VL) / row_floats(f) / GROUP_ROWS * GROUP_ROWS;
    fit = least(fit, MOST_TILES);
    int64_t groups = fit > 0 ? (tiles + fit - 1) / fit : 0, even = groups ? (tiles + groups - 1) / groups : 0;
    return (even + GROUP_ROWS - 1) / GROUP_ROWS * GROUP_ROWS;
}

bool NAME(winograd_pays)(const Filtering *f)
{
    enum { FEW_CHANNELS = 32, KERNEL_TILES = 12, OVERHEAD = 5 }; /* a kernel's transform costs as much as products of so many tiles */
    int64_t tiles = f->to.images * tiles_along(f->to.height) * tiles_along(f->to.width), group = group_tiles(f, tiles);
    if (f->in < FEW_CHANNELS || f->out < FEW_CHANNELS || !group)
        return false;
    int64_t kernels = KERNEL_TILES * ((tiles + group - 1) / group);
    return OVERHEAD * POINTS * (tiles + kernels) < (OVERHEAD - 1) * 9 * plane_rows(&f->to);
}

/* ---------------------------------------------------------------- transforms in one direction, from the points ±a, ±b */

static const float POINT_A = 0.75f, POINT_B = 1.5f, A2 = 0.5625f, B2 = 2.25f; /* squares */
static const float A2_B2 = 1.265625f, A2_AND_B2 = 2.8125f;                    /* product and sum of the squares */
static const float SCALE_0 = 1 / 1.265625f, SCALE_A = 1 / -1.8984375f, SCALE_B = 1 / 7.59375f; /* 1/Π (point - other points) */

/* Bᵀ d */
ALWAYS void transform_input(const vf d[PATCH], vf out[PATCH])
{
    vf even_a = v_fnma(v_set(B2), d[2], d[4]), odd_a = v_mul(v_set(POINT_A), v_fnma(v_set(B2), d[1], d[3]));
    vf even_b = v_fnma(v_set(A2), d[2], d[4]), odd_b = v_mul(v_set(POINT_B), v_fnma(v_set(A2), d[1], d[3]));
    out[0] = v_fma(v_set(A2_B2), d[0], v_fnma(v_set(A2_AND_B2), d[2], d[4]));
    out[1] = v_add(even_a, odd_a);
    out[2] = v_sub(even_a, odd_a);
    out[3] = v_add(even_b, odd_b);
    out[4] = v_sub(even_b, odd_b);
    out[5] = v_fma(v_set(A2_B2), d[1], v_fnma(v_set(A2_AND_B2), d[3], d[5]));
}

/* G g */
ALWAYS void transform_kernel(const vf g[3], vf out[PATCH])
{
    vf even_a = v_mul(v_set(SCALE_A), v_fma(v_set(A2), g[2], g[0])), odd_a = v_mul(v_set(SCALE_A * POINT_A), g[1]);
    vf even_b = v_mul(v_set(SCALE_B), v_fma(v_set(B2), g[2], g[0])), odd_b = v_mul(v_set(SCALE_B * POINT_B), g[1]);
    out[0] = v_mul(v_set(SCALE_0), g[0]);
    out[1] = v_add(even_a, odd_a);
    out[2] = v_sub(even_a, odd_a);
    out[3] = v_add(even_b, odd_b);
    out[4] = v_sub(even_b, odd_b);
    out[5] = g[2];
}

/* Aᵀ m */
ALWAYS void transform_output(const vf m[PATCH], vf out[TILE])
{
    vf sum_a = v_add(m[1], m[2]), sum_b = v_add(m[3], m[4]), difference_a = v_sub(m[1], m[2]), difference_b = v_sub(m[3], m[4]);
    out[0] = v_add(m[0], v_add(sum_a, sum_b));
    out[1] = v_fma(v_set(POINT_A), difference_a, v_mul(v_set(POINT_B), difference_b));
    out[2] = v_fma(v_set(A2), sum_a, v_mul(v_set(B2), sum_b));
    out[3] = v_add(m[5], v_fma(v_set(A2 * POINT_A), difference_a, v_mul(v_set(B2 * POINT_B), difference_b)));
}

/* ---------------------------------------------------------------- inputs */

/* The output pixel (y,z) of image b where a tile begins. */
typedef struct Corner {
    int64_t b, y, z;
} Corner;

static Corner corner_of(const Group *g, int64_t tile)
{
    return (Corner){tile / (g->tiles_y * g->tiles_x), tile / g->tiles_x % g->tiles_y * TILE, tile % g->tiles_x * TILE};
}

/* src: the 36 pixels, those outside of the image a vector of zeros that does not move on. */
ALWAYS void input_vector(const float *const src[POINTS], const int64_t moves[POINTS], float *v, int64_t point, int64_t i, Part part)
{
    vf half[PATCH][PATCH], d[PATCH], out[PATCH];
    UNROLL for (int z = 0; z < PATCH; z++) {
        UNROLL for (int y = 0; y < PATCH; y++)
            d[y] = part_load(src[y * PATCH + z] + (i & moves[y * PATCH + z]), F32, 0, part);
        transform_input(d, out);
        UNROLL for (int y = 0; y < PATCH; y++)
            half[y][z] = out[y];
    }
    UNROLL for (int y = 0; y < PATCH; y++) {
        transform_input(half[y], out);
        UNROLL for (int z = 0; z < PATCH; z++)
            part_store(v + (y * PATCH + z) * point, F32, i, part, out[z]);
    }
}

static void input_range(const void *args, int64_t begin, int64_t end, void *workspace)
{
    static const float ZEROS[VL];
    const Group *g = args;
    const Filtering *f = g->f;
    (void)workspace;
    for (int64_t t = begin; t < end; t++) {
        const float *src[POINTS];
        int64_t moves[POINTS];
        const Corner at = corner_of(g, g->first + t);
        for (int k = 0; k < POINTS; k++) {
            int64_t y = at.y + k / PATCH - f->top, z = at.z + k % PATCH - f->left;
            bool inside = y >= 0 && y < f->from.height && z >= 0 && z < f->from.width;
            src[k] = inside ? f->x + ((at.b * f->from.height + y) * f->from.width + z) * f->in : ZEROS;
            moves[k] = inside ? -1 : 0;
        }
        EACH_VECTOR(0, f->in, input_vector(src, moves, g->v + t * g->row, g->point, i, part));
    }
}

/* ---------------------------------------------------------------- kernels */

/* g: a tap of VL output channels each; u: where they lie in the panels of the first point. */
ALWAYS void kernel_vector(const float *g, int64_t tap, float *u)
{
    vf half[PATCH][3], in[3], out[PATCH];
    UNROLL for (int z = 0; z < 3; z++) {
        UNROLL for (int y = 0; y < 3; y++)
            in[y] = v_load(g + (y * 3 + z) * tap);
        transform_kernel(in, out);
        UNROLL for (int y = 0; y < PATCH; y++)
            half[y][z] = out[y];
    }
    UNROLL for (int y = 0; y < PATCH; y++) {
        transform_kernel(half[y], out);
        UNROLL for (int z = 0; z < PATCH; z++)
            v_store(u + (y * PATCH + z) * U_POINT, out[z]);
    }
}

/* The first n elements. */
ALWAYS vf load_first(const void *x, const DType type, int64_t i, int64_t n)
{
    return n == VL ? load(x, type, i) : load_some(x, type, i, v_mask(n));
}

/* VL × VL of a tap: kernel[c][o] from input channel c and output channel o on; zeros where there is no output channel. */
ALWAYS void load_tap(const Filtering *f, const DType type, int64_t tap, int64_t c, int64_t n_c, int64_t o, int64_t n_o, float *kernel)
{
    const int64_t from = tap * f->w_tap + c * f->w_in + o * f->w_out;
    vf r[VL];
    if (f->w_out == 1) {
        for (int64_t k = 0; k < n_c; k++)
            v_store(kernel + k * VL, load_first(f->w, type, from + k * f->w_in, n_o));
        return;
    }
    for (int64_t k = 0; k < VL; k++)
        r[k] = k < n_o ? load_first(f->w, type, from + k * f->w_out, n_c) : v_zero();
    v_transpose(r);
    UNROLL for (int k = 0; k < VL; k++)
        v_store(kernel + k * VL, r[k]);
}

/* Panels of output channels o … of input channels c …, for each point. */
static void transform_kernels(const Filtering *f, Workspace *w, Range c, Range o)
{
    const int64_t steps = c.end - c.begin, cols = o.end - o.begin;
    for (int64_t j = 0; j < cols; j += VL) {
        int64_t n_o = least(VL, cols - j), panel = j / NR * NR, width = least(NR, (cols - panel + VL - 1) / VL * VL);
        float *u = w->u + panel * steps + j - panel;
        for (int64_t p = 0; p < steps; p += VL) {
            int64_t n_c = least(VL, steps - p);
            for (int64_t tap = 0; tap < 9; tap++)
                BY_TYPE(f->w_type, load_tap(f, T, tap, c.begin + p, n_c, o.begin + j, n_o, w->kernel + tap * VL * VL));
            for (int64_t k = 0; k < n_c; k++)
                kernel_vector(w->kernel + k * VL, VL * VL, u + (p + k) * width);
        }
    }
}

/* ---------------------------------------------------------------- products and outputs */

ALWAYS void output_pixel(const Filtering *f, const Corner *at, int y, int z, int64_t i, Part part, vf v)
{
    if (at->y + y >= f->to.height || at->z + z >= f->to.width)
        return;
    const int64_t to = ((at->b * f->to.height + at->y + y) * f->to.width + at->z + z) * f->out + i;
    if (f->add)
        v = v_add(v, part_load(f->add, F32, to, part));
    part_store(f->y, F32, to, part, v);
}

/* Output channels i … of a tile; m: its products there of the first point. */
ALWAYS void output_vector(const Filtering *f, const Corner *at, const float *m, int64_t i, Part part)
{
    vf half[TILE][PATCH], in[PATCH], out[TILE], more = v_zero();
    if (f->bias)
        more = part_load(f->bias, f->bias_type, i, part);
    if (f->shift)
        more = v_add(more, part_load(f->shift, F32, at->b * f->out + i, part));
    UNROLL for (int z = 0; z < PATCH; z++) {
        UNROLL for (int y = 0; y < PATCH; y++)
            in[y] = v_load(m + (y * PATCH + z) * M_POINT);
        transform_output(in, out);
        UNROLL for (int y = 0; y < TILE; y++)
            half[y][z] = out[y];
    }
    UNROLL for (int y = 0; y < TILE; y++) {
        transform_output(half[y], out);
        UNROLL for (int z = 0; z < TILE; z++)
            output_pixel(f, at, y, z, i, part, v_add(out[z], more));
    }
}

/* Rows of A that the next tile reads: they come from the third level cache, and each is too short for the processor to foresee. */
static void fetch_rows(const float *a, int64_t rs, int64_t rows, int64_t n)
{
    enum { LINE_FLOATS = 16 };
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i += LINE_FLOATS)
            __builtin_prefetch(a + r * rs + i);
}

/* m [tiles][OB] (+)= a · u of a point, `steps` of its input channels. */
static void multiply(const Group *g, const float *a, const float *u, float *m, bool add, int64_t steps, int64_t cols)
{
    for (int64_t j = 0; j < cols; j += NR) {
        const int64_t width = (least(NR, cols - j) + VL - 1) / VL * VL, mr = tile_rows(width / VL);
        for (int64_t t = 0; t < g->n; t += mr) {
            float *c = m + t * OB + j;
            const Tile to = {.c = c, .from = add ? c : NULL, .ldc = OB, .c_type = F32, .alpha = 1, .cols = width};
            if (t + mr < g->n)
                fetch_rows(a + (t + mr) * g->row, g->row, least(mr, g->n - t - mr), steps);
            NAME(gemm_tile)(false, least(mr, g->n - t), steps, a + t * g->row, g->row, 1, u + j * steps, width, &to);
        }
    }
}

/* At most OB output channels. */
static void filter(const Group *g, Workspace *w, Range o)
{
    const Filtering *f = g->f;
    const int64_t chunks = (f->in + CHUNK - 1) / CHUNK, chunk = ((f->in + chunks - 1) / chunks + VL - 1) / VL * VL;
    for (int64_t c = 0; c < f->in; c += chunk) {
        const int64_t steps = least(chunk, f->in - c);
        transform_kernels(f, w, (Range){c, c + steps}, o);
        for (int p = 0; p < POINTS; p++)
            multiply(g, g->v + p * g->point + c, w->u + p * U_POINT, w->m + p * M_POINT, c > 0, steps, o.end - o.begin);
    }
    for (int64_t t = 0; t < g->n; t++) {
        const Corner at = corner_of(g, g->first + t);
        const float *m = w->m + t * OB;
        EACH_VECTOR(o.begin, o.end, output_vector(f, &at, m + i - o.begin, i, part));
    }
}

/* Vectors of output channels. */
static void filter_range(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Group *g = args;
    const int64_t last = least(end * VL, g->f->out);
    for (int64_t o = begin * VL; o < last; o += OB)
        filter(g, workspace, (Range){o, least(o + OB, last)});
}

void NAME(winograd)(CpuDevice *d, const Filtering *f)
{
    const double element_ns = 0.15, product_ns = 0.02;
    Group g = {.f = f, .tiles_y = tiles_along(f->to.height), .tiles_x = tiles_along(f->to.width), .row = row_floats(f)};
    const int64_t tiles = f->to.images * g.tiles_y * g.tiles_x, most = group_tiles(f, tiles), vectors = (f->out + VL - 1) / VL;
    const double vector_ns = product_ns * POINTS * VL * (double)f->in; /* and tile */
    g.point = most * g.row + VL;
    g.v = cpu_shared(d, ((POINTS - 1) * g.point + least(most, tiles) * g.row) * (int64_t)sizeof *g.v);
    if (!cpu_widens(d, parallel_threads(d, vectors, vector_ns * (double)least(most, tiles)), sizeof(Workspace)))
        return;
    for (g.first = 0; g.first < tiles; g.first += most) {
        g.n = least(most, tiles - g.first);
        parallel_for(d, g.n, element_ns * (double)(POINTS * f->in), input_range, &g);
        parallel_for(d, vectors, vector_ns * (double)g.n, filter_range, &g);
    }
}
