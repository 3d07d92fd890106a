/* What kernels move: launches and bytes of global memory, counted by the emulation. A fused kernel that reads its input twice fails here,
 * whatever it computes. */
#include "tests/cuda_host/cuda_host.h"

#include <stdlib.h>

#include <vector>

extern "C" {
#include "kernels/ops/cost.h"
#include "tests/kernels/compare.h"
}

namespace {

/* An opened device, and zeroed memory on it. */
struct Rig {
    Backend b;
    char *memory;
    size_t used = 0;
    static constexpr size_t BYTES = 8 << 20;

    Rig()
    {
        void *p = nullptr;
        REQUIRE_OK(cuda_open(&b, 0));
        REQUIRE_OK(b.mem_create(&b, BYTES, &p));
        memory = (char *)p;
        cuda_host_clear();
    }
    ~Rig()
    {
        CHECK_STR(cuda_host_error(), "");
        b.mem_destroy(&b, memory);
        b.close(&b);
    }
    template <class T> T *take(int64_t n)
    {
        T *p = (T *)(memory + used);
        used += ((size_t)n * sizeof(T) + 255) & ~(size_t)255;
        REQUIRE(used <= BYTES);
        return p;
    }
};

struct Traffic {
    uint64_t launches;
    int64_t read, written;
};

/* What cost.h says of an operator, so that predictions made from it are about these kernels; `more`: reads beyond it. */
Traffic traffic(const Cost &c, int64_t more = 0) { return {1, (int64_t)c.bytes_read + more, (int64_t)c.bytes_written}; }

/* Small things besides are allowed a tenth: row statistics and indices, which every thread of a block reads for itself. */
void expect_traffic(const char *what, Traffic t)
{
    CudaHostCounters c = cuda_host_counters();
    CHECK_MSG(c.launches == t.launches, "%s: %llu launches, expected %llu", what, (unsigned long long)c.launches,
              (unsigned long long)t.launches);
    CHECK_MSG((int64_t)c.bytes_read >= t.read && (double)c.bytes_read <= 1.1 * (double)t.read, "%s: %llu bytes read, expected %lld", what,
              (unsigned long long)c.bytes_read, (long long)t.read);
    CHECK_MSG((int64_t)c.bytes_written >= t.written && (double)c.bytes_written <= 1.1 * (double)t.written,
              "%s: %llu bytes written, expected %lld", what, (unsigned long long)c.bytes_written, (long long)t.written);
    cuda_host_clear();
}

enum { ROWS = 4, COLS = 2048, N = ROWS * COLS, BF16_BYTES = 2 };

} // namespace

/* Runs an operator once and holds its traffic against its cost. */
#define EXPECT_COST(r, what, op, args, ...)                  \
    do {                                                     \
        Cost cost_;                                          \
        cost_##op(&(args), &cost_);                          \
        CHECK_OK((r).b.ops.op(&(r).b.ctx, &(args)));         \
        expect_traffic(what, traffic(cost_, ##__VA_ARGS__)); \
    } while (0)

TEST(norms_read_their_input_once)
{
    Rig r;
    bf16 *x = r.take<bf16>(N), *add = r.take<bf16>(N), *sum = r.take<bf16>(N), *y = r.take<bf16>(N);
    bf16 *w = r.take<bf16>(COLS), *bias = r.take<bf16>(COLS);
    float *rstd = r.take<float>(ROWS), *mean = r.take<float>(ROWS);
    const int64_t weights = (N - COLS) * BF16_BYTES; /* they come from the cache row by row */
    RmsNormFwd f = {};
    f.rows = ROWS, f.cols = COLS, f.act = f.w_type = BF16, f.eps = 1e-5;
    f.x = x, f.w = w, f.y = y, f.rstd = rstd;
    EXPECT_COST(r, "rmsnorm_fwd", rmsnorm_fwd, f, weights);
    f.add = add, f.sum = sum;
    EXPECT_COST(r, "rmsnorm_fwd with a residual", rmsnorm_fwd, f, weights);
    LayerNormFwd l = {};
    l.rows = ROWS, l.cols = COLS, l.act = l.w_type = BF16, l.eps = 1e-5;
    l.x = x, l.w = w, l.b = bias, l.y = y, l.rstd = rstd, l.mean = mean;
    EXPECT_COST(r, "layernorm_fwd", layernorm_fwd, l, 2 * weights);
    RmsNormBwd g = {};
    g.rows = ROWS, g.cols = COLS, g.act = g.w_type = BF16;
    g.x = x, g.w = w, g.rstd = rstd, g.dy = add, g.dx = y;
    EXPECT_COST(r, "rmsnorm_bwd", rmsnorm_bwd, g, weights);
    g.accumulate = true;
    EXPECT_COST(r, "rmsnorm_bwd, added to dx", rmsnorm_bwd, g, weights);
    g.y = sum;
    EXPECT_COST(r, "rmsnorm_bwd, with y once more", rmsnorm_bwd, g, weights);
}

TEST(elementwise_kernels_move_every_element_once)
{
    Rig r;
    bf16 *a[5];
    for (bf16 *&p : a)
        p = r.take<bf16>(N);
    int32_t *pos = r.take<int32_t>(ROWS), *item = r.take<int32_t>(ROWS);
    GluFwd s = {};
    s.rows = ROWS, s.cols = s.ldg = s.ldu = COLS, s.act = BF16, s.kind = ACT_SILU;
    s.g = a[0], s.u = a[1], s.y = a[2];
    EXPECT_COST(r, "glu_fwd", glu_fwd, s);
    GluBwd d = {};
    d.rows = ROWS, d.cols = d.ldg = d.ldu = d.lddg = d.lddu = COLS, d.act = BF16, d.kind = ACT_SILU;
    d.g = a[0], d.u = a[1], d.dy = a[2], d.dg = a[3], d.du = a[4];
    EXPECT_COST(r, "glu_bwd", glu_bwd, d);
    d.dg = a[0], d.du = a[1], d.y = a[3];
    EXPECT_COST(r, "glu_bwd in place, with y once more", glu_bwd, d);
    ActFwd g = {};
    g.n = N, g.act = BF16, g.kind = ACT_GELU_ERF;
    g.x = a[0], g.y = a[1];
    EXPECT_COST(r, "act_fwd", act_fwd, g);
    ActBwd e = {};
    e.n = N, e.act = BF16, e.kind = ACT_GELU_TANH;
    e.x = a[0], e.dy = a[1], e.dx = a[2];
    EXPECT_COST(r, "act_bwd", act_bwd, e);
    AddScaled t = {};
    t.n = N, t.a_type = t.b_type = t.y_type = BF16, t.alpha = t.beta = 1;
    t.a = a[0], t.b = a[1], t.y = a[2];
    EXPECT_COST(r, "add_scaled", add_scaled, t);
    Rope o = {};
    o.rows = ROWS, o.heads = COLS / 128, o.head_dim = 128, o.ldx = COLS, o.act = BF16, o.base = 1e4;
    o.pos = pos, o.x = a[0];
    EXPECT_COST(r, "rope", rope, o);
    Dropout p = {};
    p.rows = ROWS, p.cols = COLS, p.act = BF16, p.p = 0.5, p.key = 1;
    p.row_pos = pos, p.row_item = item, p.x = a[0], p.y = a[1];
    EXPECT_COST(r, "dropout", dropout, p, N - 8 * ROWS); /* position and item of the row, for every vector of 8 */
    Fill z = {};
    z.n = N, z.type = BF16, z.x = a[0];
    EXPECT_COST(r, "fill", fill, z);
}

/* Every access is a vector of 16 bytes; of norms also those to the weights. */
TEST(rope_and_norms_go_by_vectors)
{
    enum { VECTOR = 16, VECTORS = N * BF16_BYTES / VECTOR, WIDTH = 128, HEADS = COLS / WIDTH, HEADS_EACH = 8 };
    Rig r;
    bf16 *x = r.take<bf16>(N), *dy = r.take<bf16>(N), *y = r.take<bf16>(N);
    int32_t *pos = r.take<int32_t>(ROWS);
    float *rstd = r.take<float>(ROWS), *mean = r.take<float>(ROWS);
    auto expect = [](const char *what, uint64_t accesses) {
        cuda_host_settle();
        uint64_t n = cuda_host_counters().accesses;
        CHECK_MSG(n == accesses, "%s: %llu accesses, expected %llu", what, (unsigned long long)n, (unsigned long long)accesses);
        cuda_host_clear();
    };
    Rope o = {};
    o.rows = ROWS, o.heads = HEADS, o.head_dim = WIDTH, o.ldx = COLS, o.act = BF16, o.base = 1e4;
    o.pos = pos, o.x = x;
    CHECK_OK(r.b.ops.rope(&r.b.ctx, &o));
    expect("rope", 2 * VECTORS + VECTORS / (2 * HEADS_EACH)); /* there and back, and a position for the vectors of a thread */
    for (DType w_type : {BF16, F32}) {
        void *w = r.take<float>(COLS), *bias = r.take<float>(COLS);
        const uint64_t of_weights = VECTORS * (w_type == F32 ? 2 : 1);
        RmsNormFwd f = {};
        f.rows = ROWS, f.cols = COLS, f.act = BF16, f.w_type = w_type, f.eps = 1e-5;
        f.x = x, f.w = w, f.y = y, f.rstd = rstd;
        CHECK_OK(r.b.ops.rmsnorm_fwd(&r.b.ctx, &f));
        expect("rmsnorm_fwd", 2 * VECTORS + of_weights + ROWS);
        LayerNormFwd l = {};
        l.rows = ROWS, l.cols = COLS, l.act = BF16, l.w_type = w_type, l.eps = 1e-5;
        l.x = x, l.w = w, l.b = bias, l.y = y, l.rstd = rstd, l.mean = mean;
        CHECK_OK(r.b.ops.layernorm_fwd(&r.b.ctx, &l));
        expect("layernorm_fwd", 2 * VECTORS + 2 * of_weights + 2 * ROWS);
        RmsNormBwd g = {};
        g.rows = ROWS, g.cols = COLS, g.act = BF16, g.w_type = w_type;
        g.x = x, g.w = w, g.rstd = rstd, g.dy = dy, g.dx = y;
        CHECK_OK(r.b.ops.rmsnorm_bwd(&r.b.ctx, &g));
        expect("rmsnorm_bwd", 3 * VECTORS + of_weights + VECTORS); /* rstd in every thread, which has one vector here */
    }
}

/* x is read for the statistics and once more; what chunks of 16 pixels leave is a sum in double and one in float for each channel. */
TEST(groupnorm_reads_its_input_twice)
{
    enum { PIXELS = 32, CHANNELS = 256, GROUPS = 16, ALL = PIXELS * CHANNELS, CHUNKS = 2 };
    Rig r;
    GroupNormFwd f = {};
    f.images = 1, f.pixels = PIXELS, f.cols = CHANNELS, f.groups = GROUPS, f.act = f.w_type = BF16, f.eps = 1e-5;
    f.x = r.take<bf16>(ALL), f.w = r.take<bf16>(CHANNELS), f.b = r.take<bf16>(CHANNELS), f.y = r.take<bf16>(ALL);
    f.mean = r.take<float>(GROUPS), f.rstd = r.take<float>(GROUPS);
    CHECK_OK(r.b.ops.groupnorm_fwd(&r.b.ctx, &f));
    const int64_t matrix = ALL * BF16_BYTES, sums = CHUNKS * CHANNELS * 8, squares = CHUNKS * CHANNELS * 4;
    const int64_t each = 2 * BF16_BYTES + 2 * 4; /* weights and statistics, read for every element (from the cache) */
    expect_traffic("groupnorm_fwd", {3, 2 * matrix + 2 * sums + squares + ALL * each, matrix + sums + squares + GROUPS * 2 * 4});
}

/* Threads have something to do where rows are short, as those of few channels are. */
TEST(short_rows_share_a_block)
{
    enum { SHORT = 320, MANY = 120, VECTORS = SHORT / 8, IN_A_BLOCK = 256 / VECTORS };
    Rig r;
    GluFwd g = {};
    g.rows = MANY, g.cols = g.ldg = g.ldu = SHORT, g.act = BF16, g.kind = ACT_SILU;
    g.g = r.take<bf16>(MANY * SHORT), g.u = r.take<bf16>(MANY * SHORT), g.y = r.take<bf16>(MANY * SHORT);
    CHECK_OK(r.b.ops.glu_fwd(&r.b.ctx, &g));
    CHECK_INT(cuda_host_counters().blocks, (MANY + IN_A_BLOCK - 1) / IN_A_BLOCK);
    cuda_host_clear();
}

/* One launch for many tensors with their own settings, and nothing is touched between them. */
TEST(optimiser_is_one_pass_over_all_tensors)
{
    enum { SPANS = 96, EACH = N / SPANS / 16 * 16, USED = EACH - 4 };
    Rig r;
    float *a[4];
    for (float *&p : a)
        p = r.take<float>(N);
    AdamwSpan spans[2 * SPANS] = {};
    for (int i = 0; i < SPANS; i++)
        spans[i].begin = i * EACH, spans[i].end = i * EACH + USED, spans[i].lr = 1e-3 * i, spans[i].t = i + 1;
    Adamw o = {};
    o.n_spans = SPANS, o.type = F32, o.spans = spans, o.beta1 = 0.9, o.beta2 = 0.999, o.eps = 1e-8, o.grad_scale = 1;
    o.param = a[0], o.grad = a[1], o.m = a[2], o.v = a[3], o.copy = r.take<bf16>(N);
    EXPECT_COST(r, "adamw", adamw, o);
    for (int i = 0; i < SPANS; i++)
        spans[SPANS + i] = spans[i];
    Cost cost;
    o.n_spans = 2 * SPANS;
    cost_adamw(&o, &cost);
    CHECK_OK(r.b.ops.adamw(&r.b.ctx, &o));
    expect_traffic("adamw, more spans than one launch takes", {2, (int64_t)cost.bytes_read, (int64_t)cost.bytes_written});
    SumSquares s = {};
    s.n = N, s.type = F32, s.x = a[1], s.out = r.take<double>(1);
    cost_sum_squares(&s, &cost);
    CHECK_OK(r.b.ops.sum_squares(&r.b.ctx, &s));
    /* a partial sum for 2048 elements, and the total */
    expect_traffic("sum_squares", {2, (int64_t)cost.bytes_read, 5 * (int64_t)sizeof(double)});
}

TEST(cross_entropy_reads_the_logits_twice_and_writes_them_once)
{
    Rig r;
    CrossEntropy c = {};
    c.rows = ROWS, c.cols = c.ldz = COLS, c.act = BF16, c.backward = true;
    c.logits = r.take<bf16>(N), c.label = r.take<int32_t>(ROWS), c.weight = r.take<float>(ROWS), c.loss = r.take<float>(ROWS);
    /* and label, weight, the label's logit in each of 512 threads */
    EXPECT_COST(r, "cross_entropy", cross_entropy, c, ROWS * (512 * (4 + 4 + 2) - 8));
}

/* What is dropped is nowhere: of the size of x only x itself is read, once for every adapter, and only dx is written. */
TEST(adapters_with_dropout_read_x_once_each_and_write_no_copy_of_it)
{
    enum {
        ADAPTERS = 3,
        T = 128,
        IN = 256,
        RANK = 16,
        U = T * ADAPTERS * RANK * BF16_BYTES,
        A = ADAPTERS * RANK * IN * BF16_BYTES,
        X = T * IN * BF16_BYTES
    };
    /* PLACE: a row's position and item, read beside its vectors (from the cache) */
    enum { TILE = 64, WIDE = 128, VECTOR = 16, PLACE = 2 * 4 };
    Rig r;
    AdapterGroup g = {};
    g.rows = T, g.in = IN, g.ldu = ADAPTERS * RANK, g.n = ADAPTERS, g.act = g.a_type = BF16;
    g.row_pos = r.take<int32_t>(T), g.row_item = r.take<int32_t>(T);
    for (int i = 0; i < ADAPTERS; i++)
        g.part[i] = {RANK, 0.05, (uint64_t)i, 1, r.take<bf16>(RANK * IN), r.take<float>(RANK * IN), false};
    bf16 *x = r.take<bf16>(T * IN), *u = r.take<bf16>(T * ADAPTERS * RANK);
    auto expect = [&](const char *what, uint64_t launches, uint64_t read, uint64_t written) {
        CudaHostCounters c = cuda_host_counters();
        CHECK_MSG(c.launches == launches && c.bytes_read == read && c.bytes_written == written,
                  "%s: %llu launches, %llu bytes read, %llu written; expected %llu, %llu, %llu", what, (unsigned long long)c.launches,
                  (unsigned long long)c.bytes_read, (unsigned long long)c.bytes_written, (unsigned long long)launches,
                  (unsigned long long)read, (unsigned long long)written);
        cuda_host_clear();
    };
    AdapterDown d = {};
    d.g = g, d.ldx = IN, d.x = x, d.u = u;
    CHECK_OK(r.b.ops.adapter_down(&r.b.ctx, &d));
    expect("adapter_down", 1, ADAPTERS * (X + T * 4 * PLACE) + T / TILE * A, U); /* A once for a tile of rows; four threads share a row */
    AdapterDownGrad w = {};
    w.g = g, w.ldx = IN, w.grad_type = F32, w.x = x, w.du = u;
    CHECK_OK(r.b.ops.adapter_down_grad(&r.b.ctx, &w));
    const uint64_t ranges = 4, da = 2 * A; /* dA is F32 */
    expect("adapter_down_grad", 1 + ADAPTERS, ADAPTERS * (X + X / VECTOR * PLACE) + IN / TILE * U + ranges * da, ranges * da + da);
    AdapterDownBwd b = {};
    b.g = g, b.du = u, b.dx = x;
    CHECK_OK(r.b.ops.adapter_down_bwd(&r.b.ctx, &b));
    const uint64_t operands = T / TILE * A + IN / WIDE * U + ADAPTERS * (X / VECTOR * PLACE);
    expect("adapter_down_bwd", 1, operands, X);
    b.accumulate = true;
    CHECK_OK(r.b.ops.adapter_down_bwd(&r.b.ctx, &b));
    expect("adapter_down_bwd, added to dx", 1, operands + X, X);
}

/* Both gradients from one look at dy; what ranges of rows and columns leave is small beside it. */
TEST(an_adapter_backward_reads_dy_once)
{
    enum { T = 512, OUT = 1024, RANK = 16, COLUMN_RANGES = OUT / 256, ROW_RANGES = T / 64 };
    Rig r;
    AdapterUpBwd a = {};
    a.rows = T, a.out = a.lddy = OUT, a.r = a.ldu = a.lddu = RANK, a.act = a.b_type = BF16, a.grad_type = F32, a.scale = 2;
    a.dy = r.take<bf16>(T * OUT), a.b = r.take<bf16>(OUT * RANK), a.u = r.take<bf16>(T * RANK);
    a.du = r.take<bf16>(T * RANK), a.db = r.take<float>(OUT * RANK);
    CHECK_OK(r.b.ops.adapter_up_bwd(&r.b.ctx, &a));
    cuda_host_settle();
    CudaHostCounters c = cuda_host_counters();
    const int64_t du = COLUMN_RANGES * T * RANK * 4, db = ROW_RANGES * OUT * RANK * 4; /* sums in f32 */
    CHECK_INT(c.launches, 3);
    CHECK_INT(c.bytes_read, (T * OUT + ROW_RANGES * OUT * RANK + COLUMN_RANGES * T * RANK) * BF16_BYTES + du + db);
    CHECK_INT(c.bytes_written, du + db + T * RANK * BF16_BYTES + OUT * RANK * 4);
}

/* So many rows that a block has several tiles of them, in whole numbers, whose sums are exact in any order. */
TEST(an_adapter_backward_sums_many_rows)
{
    enum { T = 64 * 600 + 5, OUT = 24, RANK = 8 };
    Rig r;
    auto fill = [&](int64_t n, int64_t step, std::vector<int> *values) {
        std::vector<bf16> as((size_t)n);
        for (int64_t i = 0; i < n; i++) {
            values->push_back((int)(i * step % 7 - 3));
            as[(size_t)i] = f32_to_bf16((float)values->back());
        }
        bf16 *p = r.take<bf16>(n);
        REQUIRE_OK(r.b.upload(&r.b, p, as.data(), as.size() * sizeof *p));
        return p;
    };
    std::vector<int> dy, b, u;
    AdapterUpBwd a = {};
    a.rows = T, a.out = a.lddy = OUT, a.r = a.ldu = a.lddu = RANK, a.act = a.b_type = BF16, a.grad_type = F32, a.scale = 1;
    a.dy = fill(T * OUT, 5, &dy), a.b = fill(OUT * RANK, 3, &b), a.u = fill(T * RANK, 11, &u);
    a.du = r.take<bf16>(T * RANK), a.db = r.take<float>(OUT * RANK);
    CHECK_OK(r.b.ops.adapter_up_bwd(&r.b.ctx, &a));
    std::vector<float> db(OUT * RANK);
    std::vector<bf16> du(T * RANK);
    REQUIRE_OK(r.b.download(&r.b, db.data(), a.db, db.size() * sizeof(float)));
    REQUIRE_OK(r.b.download(&r.b, du.data(), a.du, du.size() * sizeof(bf16)));
    int wrong = 0;
    for (int j = 0; j < RANK; j++) {
        for (int c = 0; c < OUT; c++) {
            int64_t sum = 0;
            for (int t = 0; t < T; t++)
                sum += dy[(size_t)(t * OUT + c)] * u[(size_t)(t * RANK + j)];
            wrong += db[(size_t)(c * RANK + j)] != (float)sum;
        }
        for (int t = 0; t < T; t++) {
            int sum = 0;
            for (int c = 0; c < OUT; c++)
                sum += dy[(size_t)(t * OUT + c)] * b[(size_t)(c * RANK + j)];
            wrong += du[(size_t)(t * RANK + j)] != f32_to_bf16((float)sum);
        }
    }
    CHECK_INT(wrong, 0);
}

TEST(attention_reads_tiles_once_a_block)
{
    enum { T = 256, WIDTH = 64, TILE = 128, TEXT = 77 };
    Rig r;
    const int32_t cu[] = {0, T}, cu_text[] = {0, TEXT};
    int32_t *device_cu = r.take<int32_t>(2), *device_cu_text = r.take<int32_t>(2);
    bf16 *x[4];
    for (bf16 *&p : x)
        p = r.take<bf16>(T * WIDTH);
    REQUIRE_OK(r.b.upload(&r.b, device_cu, cu, sizeof cu));
    REQUIRE_OK(r.b.upload(&r.b, device_cu_text, cu_text, sizeof cu_text));
    AttentionFwd a = {};
    a.n_segments = 1, a.rows_q = a.rows_k = a.max_q = a.max_k = T, a.heads = a.kv_heads = 1,
    a.head_dim = a.ldq = a.ldk = a.ldv = a.ldo = WIDTH;
    a.act = BF16, a.scale = 0.125, a.cu_q = a.cu_k = device_cu;
    a.q = x[0], a.k = x[1], a.v = x[2], a.o = x[3];
    const int64_t matrix = T * WIDTH * BF16_BYTES;
    CHECK_OK(r.b.ops.attention_fwd(&r.b.ctx, &a));
    expect_traffic("attention_fwd, full", {1, matrix + 2 * 2 * matrix, matrix}); /* two blocks, each all keys and values */
    a.causal = true;
    CHECK_OK(r.b.ops.attention_fwd(&r.b.ctx, &a));
    expect_traffic("attention_fwd, causal", {1, matrix + 3 * matrix, matrix}); /* the first block half of them */
    a.window = 64;
    CHECK_OK(r.b.ops.attention_fwd(&r.b.ctx, &a));
    expect_traffic("attention_fwd, window", {1, matrix + 2 * (TILE + TILE + 64) * WIDTH * BF16_BYTES, matrix});
    a.causal = false, a.window = 0, a.rows_k = a.max_k = TEXT, a.cu_k = device_cu_text;
    CHECK_OK(r.b.ops.attention_fwd(&r.b.ctx, &a));
    expect_traffic("attention_fwd, a text's keys", {1, matrix + 2 * 2 * TEXT * WIDTH * BF16_BYTES, matrix});
}

/* Bytes that the gradient of queries reads on a device of this capability, and the gradient. */
static int64_t read_for_dq(const char *capability, bf16 *dq, int64_t tokens, int64_t width)
{
    REQUIRE(!setenv("CUDA_HOST_CAPABILITY", capability, 1));
    Rig r;
    unsetenv("CUDA_HOST_CAPABILITY");
    const int32_t cu[] = {0, (int32_t)tokens};
    const int64_t n = tokens * width;
    std::vector<bf16> values((size_t)n);
    AttentionBwd a = {};
    const void **inputs[] = {&a.q, &a.k, &a.v, &a.o, &a.d_o};
    for (int i = 0; i < 5; i++) {
        bf16 *p = r.take<bf16>(n);
        for (int64_t j = 0; j < n; j++)
            values[(size_t)j] = f32_to_bf16((float)((j * 37 + i * 11) % 101 - 50) / 50);
        REQUIRE_OK(r.b.upload(&r.b, p, values.data(), (size_t)n * sizeof *p));
        *inputs[i] = p;
    }
    int32_t *device_cu = r.take<int32_t>(2);
    REQUIRE_OK(r.b.upload(&r.b, device_cu, cu, sizeof cu));
    std::vector<float> lse((size_t)tokens, 3.0f);
    float *device_lse = r.take<float>(tokens);
    REQUIRE_OK(r.b.upload(&r.b, device_lse, lse.data(), lse.size() * sizeof(float)));
    a.n_segments = 1, a.rows_q = a.rows_k = a.max_q = a.max_k = tokens, a.heads = a.kv_heads = 1;
    a.head_dim = a.ldq = a.ldk = a.ldv = a.ldo = a.lddo = a.lddq = width;
    a.act = BF16, a.scale = 0.1, a.causal = true, a.cu_q = a.cu_k = device_cu, a.lse = device_lse;
    a.dq = r.take<bf16>(n);
    cuda_host_settle();
    cuda_host_clear();
    CHECK_OK(r.b.ops.attention_bwd(&r.b.ctx, &a));
    cuda_host_settle();
    int64_t read = (int64_t)cuda_host_counters().bytes_read;
    CHECK_OK(r.b.download(&r.b, dq, a.dq, (size_t)n * sizeof *dq));
    return read;
}

/* Where shared memory has room (Hopper), a tile of keys is read for 128 queries in place of 64: the same sums in the same order. */
TEST(wide_gradients_of_queries_share_tiles_of_keys)
{
    enum { T = 256, WIDTH = 128, TILE_ROWS = T / 4 };
    std::vector<bf16> narrow(T * WIDTH), wide(T * WIDTH);
    int64_t few = read_for_dq("9.0", wide.data(), T, WIDTH), many = read_for_dq("8.0", narrow.data(), T, WIDTH);
    /* causal: blocks see 1, 2, 3, 4 quarters of keys and values, or 2 and 4; every thread reads the segment's four bounds */
    CHECK_INT(many - few, (10 - 6) * 2 * TILE_ROWS * WIDTH * BF16_BYTES + (4 - 2) * 128 * 4 * (int)sizeof(int32_t));
    CHECK(narrow == wide);
}
