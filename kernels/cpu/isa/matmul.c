/* matmul.c: matmul (ops/matmul.h): how a product is cut into blocks for gemm.c, compiled once for each instruction set. */
#include "kernels/cpu/isa/gemm.h"
#include "kernels/cpu/isa/matvec.h"

/* B is packed in blocks of at most BLOCK floats, which stay in the second level cache. Where A is read in place the blocks are long (KC
 * steps: C is stored seldom), where it is copied they are wide (NC columns: A is copied seldom) and KC_COPIED long. AC: rows of A
 * copied at a time, in groups of GROUP, a multiple of every tile's height and of a vector; MC: rows of C held in f32 while a BF16 C is
 * summed over several stretches of k; SECOND: steps of a second product that go with the last stretch of the first, so that C is
 * stored once for both. */
enum { BLOCK = 128 << 10, KC = 512, KC_COPIED = 256, NC = BLOCK / KC_COPIED, AC = 96, GROUP = 48, MC = 512, SECOND = 128 };
/* DIRECT_ROWS: rows of A up to which packing a plain F32 B does not pay. Where a panel's step is one line (AVX2) it pays from FEW_ROWS on
 * for rows of B a multiple of SET_FLOATS apart: all its lines belong into one set of the first level cache. */
enum { DIRECT_ROWS = 256, FEW_ROWS = 16, SET_FLOATS = 1024 };
/* See flips(). FLIPPED_LD: rows of C at a time. */
enum { FLIP_COLS = 32, FLIP_ROWS = 128, FLIP_DEPTH = VL > 8 ? 256 : 512, FLIPPED_LD = BLOCK / KC };
/* Bytes of operands from which on fetching ahead pays, and steps of a tile. */
enum { FAR_BYTES = 512 << 10, AHEAD_STEPS = 64 };

static bool has_pairs(const Matmul *a) { return HAS_PAIRS && a->a_type == BF16 && a->b_type == BF16; }
static int64_t longest_stretch(const Matmul *a) { return a->a_trans ? KC_COPIED : KC; }
static int64_t widest_block(const Matmul *a) { return BLOCK / longest_stretch(a); }

/* A thread's workspace. Copies of A: transposed they are groups [k][GROUP]; widened [rows][KC + VL], the odd stride keeps rows out of
 * each other's cache sets. */
typedef struct Workspace {
    float b[BLOCK], b2[SECOND * BLOCK / KC];
    float a[AC * (KC + VL)];
    float c[MC * NC];
} Workspace;
_Static_assert(sizeof(Workspace) <= WORKSPACE_PAGE, "the matmul's workspace");
_Static_assert(AC % GROUP == 0 && GROUP % VL == 0 && GROUP % MR_MOST == 0, "the copies of A");

/* A block of the product for one thread. */
typedef struct Product {
    const Matmul *a;
    int64_t grid_m, grid_n; /* threads along m and n */
    bool flip;
} Product;

/* A stretch of k: elements k0 … k0+k-1, in `steps` steps. */
typedef struct Stretch {
    int64_t k0, k, steps;
    bool pairs;
} Stretch;

/* Where the A of some tiles lies: row i begins at data + i/GROUP·group + i%GROUP·rs. */
typedef struct ATiles {
    const float *data;
    int64_t rs, cs, group;
} ATiles;

/* Copies a transposed A: groups of GROUP rows, [steps][GROUP] each, whole vectors. */
ALWAYS ATiles copy_transposed(const Matmul *a, const bool pairs, const DType type, float *buffer, int64_t row, int64_t rows,
                              const Stretch *s)
{
    const void *src = at(a->a, type, s->k0 * a->lda + row);
    const int64_t whole = rows / GROUP * GROUP;
    const Part all = part_whole();
    for (int64_t p = 0; p < s->steps; p++) {
        float *dst = buffer + p * GROUP;
        for (int64_t i = 0; i < whole; i += GROUP, dst += s->steps * GROUP)
            UNROLL for (int64_t j = 0; j < GROUP; j += VL)
                v_store(dst + j, load_step(pairs, src, type, a->lda, s->k, p, i + j, all));
        EACH_VECTOR(whole, rows, v_store(dst + i - whole, load_step(pairs, src, type, a->lda, s->k, p, i, part)));
    }
    return (ATiles){buffer, 1, GROUP, s->steps * GROUP};
}

/* Copies rows of a BF16 A: widened, or as pairs where they cannot be read in place. */
static ATiles copy_rows(const Matmul *a, float *buffer, int64_t row, int64_t rows, const Stretch *s)
{
    int64_t stride = KC + VL;
    for (int64_t r = 0; r < rows; r++) {
        const bf16 *src = (const bf16 *)a->a + (row + r) * a->lda + s->k0;
        if (s->pairs) {
            buffer[r * stride + s->steps - 1] = 0;
            memcpy(buffer + r * stride, src, (size_t)s->k * sizeof *src);
        } else
            EACH_VECTOR(0, s->k, v_store(buffer + r * stride + i, part_load(src, BF16, i, part)));
    }
    return (ATiles){buffer, stride, 1, GROUP * stride};
}

static ATiles a_tiles(const Matmul *a, float *buffer, int64_t row, int64_t rows, const Stretch *s)
{
    if (a->a_trans && s->pairs)
        return copy_transposed(a, HAS_PAIRS, BF16, buffer, row, rows, s);
    if (a->a_trans && a->a_type == F32)
        return copy_transposed(a, false, F32, buffer, row, rows, s);
    if (a->a_trans)
        return copy_transposed(a, false, BF16, buffer, row, rows, s);
    if (a->a_type == F32)
        return (ATiles){(const float *)a->a + row * a->lda + s->k0, a->lda, 1, GROUP * a->lda};
    const bf16 *src = (const bf16 *)a->a + row * a->lda + s->k0;
    if (s->pairs && a->lda % 2 == 0 && s->k % 2 == 0 && (uintptr_t)src % sizeof(float) == 0)
        return (ATiles){(const float *)(const void *)src, a->lda / 2, 1, GROUP * a->lda / 2};
    return copy_rows(a, buffer, row, rows, s);
}

/* The packed B of a block: panels of NR columns `next` floats apart, steps bs apart (0: the panel's width). */
typedef struct BPanels {
    const float *data;
    int64_t bs, next;
} BPanels;

/* Rows row … and elements first … of each: n_rows × n of them, rows ld apart. */
static Ahead ahead_of(const void *x, DType type, int64_t row, int64_t first, int64_t ld, int64_t n_rows, int64_t n)
{
    const char *line = at(x, type, row * ld + first);
    int64_t n_bytes = n * (int64_t)dtype_size(type);
    return (Ahead){line, line + n_bytes, ld * (int64_t)dtype_size(type), n_bytes, n_bytes > 0 ? n_rows : 0};
}

static Ahead a_ahead(const Matmul *a, int64_t row, int64_t rows, const Stretch *s)
{
    return a->a_trans ? ahead_of(a->a, a->a_type, s->k0, row, a->lda, s->k, rows)
                      : ahead_of(a->a, a->a_type, row, s->k0, a->lda, rows, s->k);
}

static Ahead b_ahead(const Matmul *a, int64_t k0, int64_t k, int64_t col, int64_t cols)
{
    return a->b_trans ? ahead_of(a->b, a->b_type, col, k0, a->ldb, cols, k) : ahead_of(a->b, a->b_type, k0, col, a->ldb, k, cols);
}

/* The operands do not stay in the second level cache. */
static bool is_far(const Matmul *a)
{
    return a->k * (a->m * (int64_t)dtype_size(a->a_type) + a->n * (int64_t)dtype_size(a->b_type)) > FAR_BYTES;
}

/* What the tiles of a sweep fetch ahead: the rows of A that are read or copied next, then the B of the next block. */
typedef struct Following {
    bool far;
    Ahead a, b;
} Following;

/* Columns first … last-1 of a block, all in panels of nv vectors. */
static void sweep_panels(const Matmul *a, Workspace *w, int64_t row, int64_t rows, const Stretch *s, const BPanels *b, const Tile *t,
                         int64_t first, int64_t last, Following *next)
{
    int64_t nv = last - first < NR ? (last - first + VL - 1) / VL : NV, mr = tile_rows(nv), bs = b->bs ? b->bs : nv * VL;
    const bool far = next->far && nv == NV && s->steps >= AHEAD_STEPS;
    for (int64_t i0 = 0; i0 < rows; i0 += AC) {
        int64_t i1 = rows - i0 < AC ? rows : i0 + AC, i2 = rows - i1 < AC ? rows : i1 + AC;
        ATiles tiles = a_tiles(a, w->a, row + i0, i1 - i0, s);
        const bool copied = tiles.data == w->a;
        if (far && copied)
            next->a = a_ahead(a, row + i1, i2 - i1, s);
        for (int64_t i = i0; i < i1; i += mr) {
            const float *tile = tiles.data + (i - i0) / GROUP * tiles.group + (i - i0) % GROUP * tiles.rs;
            if (far && !copied)
                next->a = a_ahead(a, row + i + mr, rows - i - mr < mr ? rows - i - mr : mr, s);
            for (int64_t j = first; j < last; j += NR) {
                Tile part = *t;
                part.c = at_mut(t->c, t->c_type, i * t->ldc + j);
                part.from = t->from ? at(t->from, t->c_type, i * t->ldc + j) : NULL;
                part.bias = t->bias ? at(t->bias, t->bias_type, j) : NULL;
                part.cols = last - j < NR ? last - j : NR;
                if (far)
                    part.ahead = next->a.rows > 0 ? &next->a : next->b.rows > 0 ? &next->b : NULL;
                if (t->steps2) {
                    part.a2 = t->a2 + i * t->rs2;
                    part.b2 = t->b2 + j / NR * NR * (t->bs2 ? 1 : t->steps2);
                    part.bs2 = t->bs2 ? t->bs2 : nv * VL;
                }
                NAME(gemm_tile)(s->pairs, i1 - i < mr ? i1 - i : mr, s->steps, tile, tiles.rs, tiles.cs, b->data + j / NR * b->next,
                                bs, &part);
            }
        }
    }
}

/* rows × t->cols of C (+)= one stretch of k. */
static void sweep(const Matmul *a, Workspace *w, int64_t row, int64_t rows, const Stretch *s, const BPanels *b, const Tile *t,
                  Following *next)
{
    int64_t whole = t->cols / NR * NR;
    if (whole)
        sweep_panels(a, w, row, rows, s, b, t, 0, whole, next);
    if (whole < t->cols)
        sweep_panels(a, w, row, rows, s, b, t, whole, t->cols, next);
}

ALWAYS void finish_vector(const Matmul *a, vf sum, int64_t row, int64_t col, Part part)
{
    int64_t to = row * a->ldc + col;
    vf v = v_mul(sum, v_set((float)a->alpha));
    if (a->bias)
        v = v_add(v, part_load(a->bias, a->bias_type, col, part));
    if (matmul_addend(a))
        v = v_add(v, part_load(matmul_addend(a), a->c_type, to, part));
    part_store(a->c, a->c_type, to, part, v);
}

/* C from sums [rows, NC] held in f32. */
static void finish_rows(const Matmul *a, const float *sum, int64_t row, int64_t rows, int64_t col, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++)
        EACH_VECTOR(0, cols, finish_vector(a, part_load(sum + r * NC, F32, i, part), row + r, col + i, part));
}

/* C from sums [cols, FLIPPED_LD]. */
static void finish_transposed(const Matmul *a, const float *sum, int64_t row, int64_t rows, int64_t col, int64_t cols)
{
    for (int64_t j = 0; j < cols; j += VL)
        for (int64_t r = 0; r < rows; r += VL) {
            vf v[VL];
            UNROLL for (int i = 0; i < VL; i++)
                v[i] = j + i < cols ? v_load(sum + (j + i) * FLIPPED_LD + r) : v_zero();
            v_transpose(v);
            const Part all = part_whole(), some = part_first(cols - j < VL ? cols - j : 0);
            for (int i = 0; i < VL && r + i < rows; i++)
                if (cols - j >= VL)
                    finish_vector(a, v[i], row + r + i, col + j, all);
                else
                    finish_vector(a, v[i], row + r + i, col + j, some);
        }
}

/* B is used where it lies: too few rows to pay for a packed copy. */
static bool is_direct(const Matmul *a, DType type, int64_t ld, int64_t rows, int64_t cols)
{
    return !a->b_trans && type == F32 && cols % VL == 0 && rows <= (VL > 8 || ld % SET_FLOATS != 0 ? DIRECT_ROWS : FEW_ROWS);
}

/* Both products in one go: the second is short, and its A is as the tiles read it. */
static bool takes_second(const Matmul *a)
{
    const bool pairs = has_pairs(a);
    if (a->alpha != 1 || a->k2 > SECOND)
        return false;
    if (!pairs)
        return a->a_type == F32;
    return a->b2_type == BF16 && a->lda2 % 2 == 0 && a->k2 % 2 == 0 && (uintptr_t)a->a2 % sizeof(float) == 0;
}

/* The second product's operands for a block of C. */
static void second_operands(const Matmul *a, Workspace *w, Tile *t, bool pairs, int64_t row, int64_t rows, int64_t col, int64_t cols)
{
    const int64_t unit = pairs ? 2 : 1;
    t->steps2 = a->k2 / unit;
    t->rs2 = a->lda2 / unit;
    t->a2 = at(a->a2, a->a_type, row * a->lda2);
    t->b2 = w->b2;
    const void *src = at(a->b2, a->b2_type, a->b_trans ? col * a->ldb2 : col);
    if (is_direct(a, a->b2_type, a->ldb2, rows, cols)) {
        t->b2 = src;
        t->bs2 = a->ldb2;
    } else
        NAME(gemm_pack)(w->b2, pairs, src, a->b2_type, a->b_trans, a->ldb2, a->k2, cols);
}

/* rows × cols of C, at most a block's columns, all of k; so many columns follow in the next block. */
static void product_block(const Matmul *a, Workspace *w, int64_t row, int64_t rows, int64_t col, int64_t cols, int64_t following)
{
    const bool pairs = has_pairs(a);
    const int64_t unit = pairs ? 2 : 1, steps = (a->k + unit - 1) / unit;
    const int64_t longest = longest_stretch(a), stretches = steps > longest ? (steps + longest - 1) / longest : 1,
            even = (steps + stretches - 1) / stretches;
    const int64_t step = even ? (even + VL - 1) / VL * VL : VL; /* at most the longest, a multiple of VL */
    const bool gather = a->c_type == BF16 && stretches > 1; /* C is rounded once */
    Following next = {.far = is_far(a)};
    for (int64_t p = 0; p == 0 || p < steps; p += step) { /* once for an empty k */
        Stretch s = {.k0 = p * unit, .steps = steps - p < step ? steps - p : step, .pairs = pairs};
        s.k = a->k - s.k0 < s.steps * unit ? a->k - s.k0 : s.steps * unit;
        Tile t = {.c = gather ? w->c : at_mut(a->c, a->c_type, row * a->ldc + col), .ldc = gather ? NC : a->ldc, .cols = cols,
                  .c_type = gather ? F32 : a->c_type, .bias_type = a->bias_type, .alpha = gather ? 1.0f : (float)a->alpha,
                  .from = NULL};
        if (p > 0)
            t.from = t.c;
        else if (matmul_addend(a) && !gather)
            t.from = at(matmul_addend(a), a->c_type, row * a->ldc + col);
        if (a->bias && p == 0 && !gather)
            t.bias = at(a->bias, a->bias_type, col);
        if (p + step >= steps && a->k2)
            second_operands(a, w, &t, pairs, row, rows, col, cols);
        const void *src = at(a->b, a->b_type, a->b_trans ? col * a->ldb + s.k0 : s.k0 * a->ldb + col);
        BPanels b = {.data = w->b, .next = NR * s.steps};
        if (is_direct(a, a->b_type, a->ldb, rows, cols))
            b = (BPanels){.data = src, .bs = a->ldb, .next = NR};
        else
            NAME(gemm_pack)(w->b, pairs, src, a->b_type, a->b_trans, a->ldb, s.k, cols);
        int64_t k1 = s.k0 + s.k;
        if (next.far)
            next.b = k1 < a->k ? b_ahead(a, k1, a->k - k1 < s.k ? a->k - k1 : s.k, col, cols)
                               : b_ahead(a, 0, a->k < step * unit ? a->k : step * unit, col + cols, following);
        sweep(a, w, row, rows, &s, &b, &t, &next);
    }
    if (gather)
        finish_rows(a, w->c, row, rows, col, cols);
}

/* Rows row0 … row1-1 and columns col0 … col1-1 of C. */
static void product_range(const Matmul *a, Workspace *w, int64_t row0, int64_t row1, int64_t col0, int64_t col1)
{
    const int64_t tall = a->c_type == BF16 && a->k > longest_stretch(a) ? MC : row1 - row0, wide = widest_block(a);
    for (int64_t col = col0; col < col1; col += wide) {
        int64_t end = col1 - col < wide ? col1 : col + wide, following = col1 - end < wide ? col1 - end : wide;
        for (int64_t row = row0; row < row1; row += tall)
            product_block(a, w, row, row1 - row < tall ? row1 - row : tall, col, end - col, row1 - row <= tall ? following : 0);
    }
}

/* The same by way of Cᵀ = op(B)ᵀ op(A)ᵀ, see flips(). */
static void product_flipped(const Matmul *a, Workspace *w, int64_t row0, int64_t row1, int64_t col0, int64_t col1)
{
    for (int64_t col = col0; col < col1; col += MC)
        for (int64_t row = row0; row < row1; row += FLIPPED_LD) {
            int64_t rows = row1 - row < FLIPPED_LD ? row1 - row : FLIPPED_LD, cols = col1 - col < MC ? col1 - col : MC;
            Matmul flipped = {.m = cols, .n = rows, .k = a->k, .a_type = a->b_type, .b_type = a->a_type, .c_type = F32,
                              .a_trans = !a->b_trans, .b_trans = !a->a_trans, .lda = a->ldb, .ldb = a->lda, .ldc = FLIPPED_LD,
                              .a = at(a->b, a->b_type, a->b_trans ? col * a->ldb : col),
                              .b = at(a->a, a->a_type, a->a_trans ? row : row * a->lda), .c = w->c, .alpha = 1};
            product_block(&flipped, w, 0, cols, 0, rows, 0);
            finish_transposed(a, w->c, row, rows, col, cols);
        }
}

static void product(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Product *pr = args;
    const Matmul *a = pr->a;
    int64_t row_unit = pr->flip ? VL : 1, row_units = (a->m + row_unit - 1) / row_unit, col_units = (a->n + VL - 1) / VL;
    for (int64_t task = begin; task < end; task++) {
        int64_t im = task / pr->grid_n, in = task % pr->grid_n;
        int64_t row0 = row_units * im / pr->grid_m * row_unit, row1 = row_units * (im + 1) / pr->grid_m * row_unit;
        int64_t col0 = col_units * in / pr->grid_n * VL, col1 = col_units * (in + 1) / pr->grid_n * VL;
        row1 = row1 < a->m ? row1 : a->m;
        col1 = col1 < a->n ? col1 : a->n;
        if (pr->flip)
            product_flipped(a, workspace, row0, row1, col0, col1);
        else
            product_range(a, workspace, row0, row1, col0, col1);
    }
}

/* Cᵀ = op(B)ᵀ op(A)ᵀ is faster: a long transposed A is read in place as its right operand; a transposed B, which few rows of A would
 * not pay to pack, as its left one. */
static bool flips(const Matmul *a)
{
    if (a->a_trans)
        return a->n <= FLIP_COLS && a->m > a->n;
    return a->b_trans && (a->b_type == F32 || has_pairs(a)) && a->m <= FLIP_ROWS && a->k >= FLIP_DEPTH && a->k >= 4 * a->m;
}

/* The grid of threads with the least work for the busiest: its tiles, the B it packs (an element costs about PACK products) and the
 * transposed A it copies (COPY). */
static Product choose_grid(const Matmul *a, int threads)
{
    enum { PACK = 16, COPY = 24, WORTH = 128 << 10 }; /* WORTH: products worth a thread */
    Product best = {.a = a, .grid_m = 1, .grid_n = 1, .flip = flips(a)};
    int64_t work = a->m * a->n * (a->k + a->k2) / WORTH, best_cost = INT64_MAX;
    int64_t count = work < 1 ? 1 : work < threads ? work : threads, vectors = (a->n + VL - 1) / VL;
    for (int64_t tm = 1; tm <= (best.flip && !a->a_trans ? 1 : count); tm++) {
        int64_t tn = best.flip && a->a_trans ? 1 : count / tm, rows = (a->m + tm - 1) / tm, cols = (vectors + tn - 1) / tn * VL;
        int64_t cost = (rows + PACK) * cols + (a->a_trans ? COPY * rows : 0);
        if (cost < best_cost) {
            best_cost = cost;
            best.grid_m = tm;
            best.grid_n = tn;
        }
    }
    return best;
}

static Status matmul(KernelCtx *ctx, const Matmul *a)
{
    TRY(check_matmul(a));
    TRY(expect_single("matmul", a->a_type));
    TRY(expect_single("matmul", a->b_type));
    TRY(expect_single("matmul", a->c_type));
    if (a->m == 0 || a->n == 0)
        return OK;
    CpuDevice *d = cpu_device(ctx);
    bool few = a->m <= MATVEC_ROWS && a->b_trans && a->k <= MATVEC_MOST_K;
    if (a->k2 && (few || flips(a) || !takes_second(a))) {
        Matmul first = matmul_first(a), second = matmul_second(a);
        TRY(matmul(ctx, &first));
        second.accumulate = true;
        second.add = NULL;
        return matmul(ctx, &second);
    }
    if (few)
        return NAME(matvec)(d, a);
    Product pr = choose_grid(a, d->threads);
    const double product_ns = 0.04; /* choose_grid has made sure that the threads are worth it */
    int64_t tasks = pr.grid_m * pr.grid_n;
    parallel_for(d, tasks, product_ns * (double)(a->m * a->n) * (double)(a->k + a->k2) / (double)tasks, product, &pr);
    return OK;
}

void NAME(matmul)(KernelTable *t)
{
    t->matmul = matmul;
}
