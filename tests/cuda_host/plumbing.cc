/* What surrounds the kernels: copies beside the computation, the algorithms of matmuls, errors. On streams that run late and in a random
 * order. */
#include <cublasLt.h>

#include <chrono>
#include <vector>

#include "kernels/base/log.h"
#include "kernels/cuda/backend.cuh"

extern "C" {
#include "tests/cuda_host/gaps.h"
#include "tests/kernels/compare.h"
#include "train/dist/dist.h"
}

namespace {

/* An opened device and memory on it. */
struct Device {
    Backend b;
    void *memory;

    explicit Device(size_t n_bytes = 1 << 20)
    {
        REQUIRE_OK(cuda_open(&b, 0));
        REQUIRE_OK(b.mem_create(&b, n_bytes, &memory));
        cuda_host_clear();
    }
    ~Device()
    {
        b.mem_destroy(&b, memory);
        b.close(&b);
        cuda_host_clear();
    }
    float *floats(size_t at) { return (float *)memory + at; }
};

void copy_on_device(Device *d, float *to, const float *from, int64_t n)
{
    AddScaled a = {};
    a.n = n, a.a_type = a.b_type = a.y_type = F32, a.alpha = 1;
    a.a = from, a.y = to;
    CHECK_OK(d->b.ops.add_scaled(&d->b.ctx, &a));
}

Status open_first(Backend *b) { return cuda_open(b, 0); }

} // namespace

TEST(cuda_lacks_what_is_listed)
{
    static const char nothing[512] = {}; /* every argument struct, all zeros */
    Device d;
    Backend null;
    REQUIRE_OK(d.b.measure(&d.b, &null)); /* launches nothing */
    for (int op = 0; op < N_OPS; op++) {
        const char *sentence = cuda_lacks((Op)op, nothing);
        Status s = op_call(&null, (Op)op, nothing);
        CHECK_MSG((s == ERR_DEVICE) == (sentence != nullptr), "%s: status %d: %s", op_name((Op)op), (int)s, s ? status_message() : "");
    }
    null.close(&null);
}

TEST(an_operator_without_a_kernel_is_refused_by_name_while_a_run_is_measured)
{
    static const char nothing[512] = {};
    Device d;
    Backend null;
    cuda_nothing(&d.b.ops);
    REQUIRE_OK(d.b.measure(&d.b, &null));
    CHECK_FAILS(op_call(&null, OP_rope, nothing), ERR_DEVICE, "rope: the cuda backend has no kernel for it; \"device\": \"cpu\" has");
    null.close(&null);
}

TEST(uploads_wait_for_nothing_and_keep_their_place_in_the_order)
{
    enum { N = 1000, ROUNDS = 50 };
    for (uint64_t seed = 1; seed <= 5; seed++) {
        cuda_host_seed(seed);
        Device d;
        std::vector<float> in(N), out(N);
        for (int round = 0; round < ROUNDS; round++) { /* always to the same place, which the copy before still has to be read from */
            in.assign(N, (float)round);
            REQUIRE_OK(d.b.upload(&d.b, d.floats(0), in.data(), N * sizeof(float)));
            in.assign(N, -1.0f); /* the caller's memory is his again */
            copy_on_device(&d, d.floats((size_t)(1 + round) * N), d.floats(0), N);
        }
        CudaHostCounters c = cuda_host_counters();
        CHECK_INT(c.waits, 0);
        for (int round = 0; round < ROUNDS; round++) {
            REQUIRE_OK(d.b.download(&d.b, out.data(), d.floats((size_t)(1 + round) * N), N * sizeof(float)));
            CHECK_MSG(out[0] == (float)round && out[N - 1] == (float)round, "seed %d, round %d: %g, %g", (int)seed, round, (double)out[0],
                      (double)out[N - 1]);
        }
        c = cuda_host_counters();
        CHECK_INT(c.waits, (int)ROUNDS);
        CHECK_STR(cuda_host_error(), "");
    }
}

TEST(uploads_larger_than_the_staging_memory_arrive)
{
    const size_t n = 3 * 2 * STAGING_HALF / sizeof(float) + 12345;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        cuda_host_seed(seed);
        Device d(n * sizeof(float));
        std::vector<float> in(n), out(n);
        for (size_t i = 0; i < n; i++)
            in[i] = (float)i;
        const size_t first = n / 3 + 7; /* two uploads, each of several pieces */
        REQUIRE_OK(d.b.upload(&d.b, d.floats(0), in.data(), first * sizeof(float)));
        REQUIRE_OK(d.b.upload(&d.b, d.floats(first), in.data() + first, (n - first) * sizeof(float)));
        REQUIRE_OK(d.b.download(&d.b, out.data(), d.floats(0), n * sizeof(float)));
        CHECK_MSG(in == out, "seed %d: the bytes differ", (int)seed);
        CHECK_STR(cuda_host_error(), "");
    }
}

/* ---- ranks ---- */

TEST(ranks_take_the_devices_in_turn)
{
    REQUIRE(!setenv("CUDA_HOST_DEVICES", "3", 1));
    for (int device = 0; device < 7; device++) {
        Backend b;
        REQUIRE_OK(cuda_open(&b, device));
        CHECK_INT(cuda_host_device(), device % 3);
        b.close(&b);
    }
    unsetenv("CUDA_HOST_DEVICES");
}

namespace {

/* The other of two ranks: says what this one says, and has `other` to add to what the first finds, which it notes. */
struct Other {
    float *other, *found;
};

Status share_alike(void *, const void *mine, size_t n_bytes, void *all)
{
    memcpy(all, mine, n_bytes);
    memcpy((char *)all + n_bytes, mine, n_bytes);
    return OK;
}

/* Only enqueues, as NCCL does: x goes to `found`, `other` to x. */
Status exchange_on_stream(void *state, void *x, int64_t n, DType, void *stream)
{
    const Other *o = (const Other *)state;
    const size_t n_bytes = (size_t)n * sizeof(float);
    CHECK(cudaMemcpyAsync(o->found, x, n_bytes, cudaMemcpyDeviceToDevice, (cudaStream_t)stream) == cudaSuccess);
    CHECK(cudaMemcpyAsync(x, o->other, n_bytes, cudaMemcpyDeviceToDevice, (cudaStream_t)stream) == cudaSuccess);
    return OK;
}

} // namespace

TEST(sums_over_ranks_wait_for_nothing_and_keep_their_place_in_the_order)
{
    enum { N = 1000 };
    for (uint64_t seed = 1; seed <= 5; seed++) {
        cuda_host_seed(seed);
        Device d;
        Other o = {d.floats(N), d.floats(2 * N)};
        alignas(16) char notices[2 * 8192];
        Dist dist = {};
        dist.n_ranks = 2;
        dist.notices = notices;
        dist.transport.state = &o;
        dist.transport.on_device = true;
        dist.transport.share = share_alike;
        dist.transport.sum = exchange_on_stream;
        std::vector<float> mine(N, 1.0f), others(N, 2.0f), out(4 * N);
        REQUIRE_OK(d.b.upload(&d.b, o.other, others.data(), N * sizeof(float)));
        REQUIRE_OK(d.b.upload(&d.b, d.floats(0), mine.data(), N * sizeof(float)));
        CHECK_OK(dist_sum(&dist, &d.b, d.floats(0), N, F32));
        copy_on_device(&d, d.floats(3 * N), d.floats(0), N);
        CHECK_INT(cuda_host_counters().waits, 0);
        REQUIRE_OK(d.b.download(&d.b, out.data(), d.floats(0), out.size() * sizeof(float)));
        for (int i = 0; i < N; i++)
            if (out[(size_t)(2 * N + i)] != 1 || out[(size_t)i] != 2 || out[(size_t)(3 * N + i)] != 2) {
                CHECK_MSG(false, "seed %d: the transport found %g, left %g, and the next operator read %g", (int)seed,
                          (double)out[(size_t)(2 * N + i)], (double)out[(size_t)i], (double)out[(size_t)(3 * N + i)]);
                break;
            }
        CHECK_STR(cuda_host_error(), "");
    }
}

/* The end of x is whole while the beginning is still computed; nothing that comes later, in either stream, comes too soon. */
TEST(sums_beside_the_kernels_begin_behind_what_they_sum_and_end_before_what_reads_them)
{
    enum { N = 1000, HALF = N / 2 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        cuda_host_seed(seed);
        Device d;
        Other o = {d.floats(N + HALF), d.floats(2 * N + HALF)};
        alignas(16) char notices[2 * 8192];
        double seconds = -1;
        Dist dist = {};
        dist.n_ranks = 2;
        dist.notices = notices;
        dist.transport.state = &o;
        dist.transport.on_device = true;
        dist.transport.share = share_alike;
        dist.transport.sum = exchange_on_stream;
        dist.bucket = HALF;
        std::vector<float> mine(N, 1.0f), others(N, 2.0f), out(4 * N);
        REQUIRE_OK(d.b.upload(&d.b, d.floats(N), others.data(), N * sizeof(float)));
        REQUIRE_OK(d.b.upload(&d.b, d.floats(3 * N), mine.data(), N * sizeof(float)));
        copy_on_device(&d, d.floats(HALF), d.floats(3 * N), HALF);
        CHECK_OK(dist_sum_early(&dist, &d.b, d.floats(0), N, F32, HALF + 1)); /* not yet whole */
        CHECK_INT(dist.sent, 0);
        CHECK_OK(dist_sum_early(&dist, &d.b, d.floats(0), N, F32, HALF));
        CHECK_INT(dist.sent, HALF);
        o = {d.floats(N), d.floats(2 * N)};
        copy_on_device(&d, d.floats(0), d.floats(3 * N), HALF);
        CHECK_OK(dist_sum(&dist, &d.b, d.floats(0), N, F32));
        copy_on_device(&d, d.floats(3 * N), d.floats(0), N);
        CHECK_INT(cuda_host_counters().waits, 0);
        REQUIRE_OK(d.b.download(&d.b, out.data(), d.floats(0), out.size() * sizeof(float)));
        for (size_t i = 0; i < N; i++)
            if (out[2 * N + i] != 1 || out[i] != 2 || out[3 * N + i] != 2) {
                CHECK_MSG(false, "seed %d: of %d the transport found %g, left %g, and the next operator read %g", (int)seed, (int)i,
                          (double)out[2 * N + i], (double)out[i], (double)out[3 * N + i]);
                break;
            }
        CHECK_OK(d.b.waited(&d.b, &seconds));
        CHECK(seconds >= 0 && seconds < 10);
        CHECK_STR(cuda_host_error(), "");
    }
}

TEST(the_device_says_how_long_its_kernels_waited_for_the_second_stream)
{
    Device d;
    void *stream;
    double seconds = -1;
    float x;
    const auto start = std::chrono::steady_clock::now();
    CHECK_OK(d.b.waited(&d.b, &seconds));
    CHECK(seconds == 0);
    CHECK_OK(d.b.fork(&d.b, &stream));
    cuda_host_enqueue_wait((cudaStream_t)stream, [=] { return std::chrono::steady_clock::now() - start > std::chrono::milliseconds(50); });
    CHECK_OK(d.b.join(&d.b));
    REQUIRE_OK(d.b.download(&d.b, &x, d.floats(0), sizeof x));
    CHECK_OK(d.b.waited(&d.b, &seconds));
    CHECK_MSG(seconds > 0.02 && seconds < 10, "%g s", seconds);
    CHECK_OK(d.b.waited(&d.b, &seconds));
    CHECK(seconds == 0);
}

/* ---- algorithms ---- */

static void multiply(Device *d, int64_t m, int64_t n, int64_t k, size_t shift, DType c_type)
{
    Matmul a = {};
    a.m = m, a.n = n, a.k = k, a.lda = k, a.ldb = k, a.ldc = n, a.b_trans = true;
    a.a_type = a.b_type = BF16, a.c_type = c_type, a.alpha = 1;
    a.a = (char *)d->memory + shift, a.b = (char *)d->memory + (256 << 10), a.c = (char *)d->memory + (512 << 10);
    CHECK_OK(d->b.ops.matmul(&d->b.ctx, &a));
}

static char *chosen(Device *d)
{
    char *text;
    REQUIRE_OK(d->b.choices(&d->b, &text));
    return text;
}

static int lines(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

TEST(algorithms_are_chosen_once_and_survive_being_written_down)
{
    Device d;
    multiply(&d, 16, 32, 64, 0, F32);
    multiply(&d, 16, 32, 64, 64, F32); /* another address of the same alignment */
    multiply(&d, 16, 32, 64, 0, BF16);
    multiply(&d, 16, 32, 64, 2, BF16); /* less aligned: another choice */
    multiply(&d, 16, 33, 63, 0, BF16); /* rows that begin at odd addresses */
    char *first = chosen(&d);
    CHECK_INT(lines(first), 1 + 4);

    /* A device where the library would choose otherwise. */
    REQUIRE(!setenv("CUDA_HOST_CUBLAS", "REVERSED", 1));
    {
        Device other;
        multiply(&other, 16, 32, 64, 0, F32);
        char *text = chosen(&other);
        CHECK(strncmp(text, first, (size_t)(strchr(strchr(first, '\n') + 1, '\n') - first)));
        mem_free(text);
        Device resumed;
        REQUIRE_OK(resumed.b.choose(&resumed.b, first));
        text = chosen(&resumed);
        CHECK_STR(text, first);
        mem_free(text);
        multiply(&resumed, 16, 33, 63, 0, BF16);
        multiply(&resumed, 16, 32, 64, 0, F32);
        text = chosen(&resumed);
        CHECK_STR(text, first);
        mem_free(text);
        CHECK_STR(cuda_host_error(), "");
    }
    unsetenv("CUDA_HOST_CUBLAS");
    mem_free(first);
}

TEST(algorithms_that_cannot_be_used_are_chosen_anew)
{
    char origin[256], text[1024];
    Device d;
    multiply(&d, 16, 32, 64, 0, F32);
    char *right = chosen(&d);
    snprintf(origin, sizeof origin, "%.*s", (int)strcspn(right, "\n"), right);
    const char *hex = strrchr(right, ' ') + 1;
    log_level(LOG_QUIET);
    struct {
        const char *why, *line;
    } wrong[] = {
        {"not of this library", "0000000000000000000000000000000100000000000000000000000000000000"
                                "0000000000000000000000000000000000000000000000000000000000000000"},
        {"in the order of arrival", "6375626c61734c74000000000000000100000000000000000000000000000000"
                                    "0000000000000000000000000000000000000000000000000000000000000000"},
        {"more workspace than there is", "6375626c61734c74000000000000000200000000000000000000000000000000"
                                         "0000000000000000000000000000000000000000000000000000000000000000"},
        {"cut short", "6375626c61734c74"},
        {"no number", "6375626c61734c7g"},
        {"empty", ""},
    };
    for (auto &w : wrong) {
        Device other;
        snprintf(text, sizeof text, "%s\n%.*s%s\n", origin, (int)(hex - strchr(right, '\n') - 1), strchr(right, '\n') + 1, w.line);
        CHECK_OK(other.b.choose(&other.b, text));
        multiply(&other, 16, 32, 64, 0, F32);
        char *now = chosen(&other);
        CHECK_MSG(!strcmp(now, right), "%s: %s", w.why, now);
        mem_free(now);
        CHECK_STR(cuda_host_error(), "");
    }
    Device elsewhere;
    snprintf(text, sizeof text, "another device\n%s", strchr(right, '\n') + 1);
    CHECK_OK(elsewhere.b.choose(&elsewhere.b, text));
    char *now = chosen(&elsewhere);
    CHECK_INT(lines(now), 1);
    mem_free(now);
    mem_free(right);
    log_level(LOG_WARN);
}

/* ---- a library that offers less ---- */

TEST(matmuls_keep_to_the_specification_where_cublas_has_nothing)
{
    int tables = 0;
    REQUIRE(!setenv("CUDA_HOST_CUBLAS", "NONE", 1));
    log_level(LOG_QUIET);
    cuda_host_clear();
    for (const KernelCases *k = compare_registered(); k; k = k->next)
        if (k->op == OP_matmul) {
            compare_run_on(k, open_first);
            tables++;
        }
    CHECK(tables >= 2);
    CHECK_STR(cuda_host_error(), "");
    log_level(LOG_WARN);
    unsetenv("CUDA_HOST_CUBLAS");
}

/* By what the two matmuls were made: launches of kernels of ours; how many algorithms are kept. */
static void expect_plain(const char *order, int64_t k, int plain, int kept)
{
    REQUIRE(!setenv("CUDA_HOST_CUBLAS", order, 1));
    Device d;
    multiply(&d, 16, 32, k, 0, F32);
    multiply(&d, 16, 32, k, 0, F32);
    CHECK_MSG((int)cuda_host_counters().launches == plain, "%s, k %d: %d launches", order, (int)k, (int)cuda_host_counters().launches);
    char *text = chosen(&d);
    CHECK_INT(lines(text), 1 + kept);
    mem_free(text);
    CHECK_STR(cuda_host_error(), "");
    unsetenv("CUDA_HOST_CUBLAS");
}

TEST(only_what_cublas_does_not_do_is_multiplied_without_it)
{
    log_level(LOG_QUIET);
    expect_plain("", 64, 0, 1);
    expect_plain("ALIGNED", 64, 0, 1);
    expect_plain("ALIGNED", 63, 2, 0);
    expect_plain("NONE", 64, 2, 0);
    expect_plain("REFUSED", 64, 2, 1); /* another shape of the bucket may be taken */
    REQUIRE(!setenv("CUDA_HOST_CUBLAS", "BROKEN", 1));
    {
        Device d;
        Matmul a = {};
        a.m = a.n = a.k = a.lda = a.ldb = a.ldc = 8, a.alpha = 1;
        a.a = d.floats(0), a.b = d.floats(64), a.c = d.floats(128);
        CHECK_INT(d.b.ops.matmul(&d.b.ctx, &a), ERR_DEVICE);
        CHECK_STR(status_message(), "choosing an algorithm for a matmul: cuBLASLt status 13");
    }
    REQUIRE(!setenv("CUDA_HOST_CUBLAS", "FULL", 1));
    {
        Device d;
        Matmul a = {};
        a.m = a.n = a.k = a.lda = a.ldb = a.ldc = 8, a.alpha = 1;
        a.a = d.floats(0), a.b = d.floats(64), a.c = d.floats(128);
        CHECK_INT(d.b.ops.matmul(&d.b.ctx, &a), ERR_DEVICE);
        CHECK_MSG(!strncmp(status_message(), "choosing an algorithm for a matmul: the device's memory is full, ", 65), "%s",
                  status_message());
    }
    unsetenv("CUDA_HOST_CUBLAS");
    log_level(LOG_WARN);
}

TEST(more_shapes_than_are_remembered_are_multiplied_all_the_same)
{
    Device d;
    for (int64_t m = 1; m <= (int64_t)MATMUL_PLANS + 10; m++)
        multiply(&d, m, 1, 8, 0, F32);
    char *text = chosen(&d);
    CHECK_INT(lines(text), 1 + 14); /* buckets of up to 1, 2 … 256, 320, 384, 448, 512 and 640 rows */
    mem_free(text);
    for (int64_t n = 2; n <= (int64_t)MATMUL_CHOICES; n++)
        multiply(&d, 1, n, 8, 0, F32);
    text = chosen(&d);
    CHECK_INT(lines(text), 1 + (int)MATMUL_CHOICES);
    mem_free(text);
    CHECK_STR(cuda_host_error(), "");
}

/* ---- errors ---- */

static Status try_copy(Device *d)
{
    AddScaled a = {};
    a.n = 4, a.a_type = a.b_type = a.y_type = F32, a.alpha = 1;
    a.a = d->floats(0), a.y = d->floats(8);
    return d->b.ops.add_scaled(&d->b.ctx, &a);
}

TEST(a_failed_kernel_is_named_as_well_as_can_be)
{
    REQUIRE(!setenv("CUDA_HOST_FAIL", "map_kernel:2:700", 1));
    float out[4];
    {
        Device d;
        Status s = OK; /* whichever call is the first to be told */
        for (int i = 0; i < 3 && !s; i++)
            s = try_copy(&d);
        if (!s)
            s = d.b.download(&d.b, out, d.floats(8), sizeof out);
        CHECK_INT(s, ERR_DEVICE);
        CHECK_MSG(strstr(status_message(), "kernel map_kernel or an earlier one (") &&
                      strstr(status_message(), "an illegal memory access was encountered; found late"),
                  "%s", status_message());
    }
    REQUIRE(!setenv("CUDA_LAUNCH_BLOCKING", "1", 1));
    {
        Device d;
        CHECK_OK(try_copy(&d));
        CHECK_INT(try_copy(&d), ERR_DEVICE);
        CHECK_STR(status_message(), "kernel map_kernel: an illegal memory access was encountered");
    }
    unsetenv("CUDA_LAUNCH_BLOCKING");
    REQUIRE(!setenv("CUDA_HOST_FAIL", "map_kernel:1:701", 1));
    {
        Device d;
        CHECK_INT(try_copy(&d), ERR_DEVICE);
        CHECK_STR(status_message(), "add_scaled: too many resources requested for launch");
        CHECK_OK(try_copy(&d)); /* that one is not for ever */
    }
    REQUIRE(!setenv("CUDA_HOST_FAIL", "map_kernel:1:2", 1));
    {
        Device d;
        CHECK_INT(try_copy(&d), ERR_DEVICE);
        CHECK_MSG(!strncmp(status_message(), "add_scaled: the device's memory is full, ", 41), "%s", status_message());
        CHECK_OK(try_copy(&d));
    }
    unsetenv("CUDA_HOST_FAIL");
}

TEST(memory_that_is_not_there_is_said_in_figures)
{
    enum { THERE = 3000000, WANTED = 5000000 };
    Device d;
    void *more;
    const size_t size = cuda_host_memory_size();
    cuda_host_memory_limit(cuda_host_memory_used() + THERE);
    CHECK_INT(d.b.mem_create(&d.b, WANTED, &more), ERR_DEVICE);
    CHECK_MSG(strstr(status_message(), "the device has 0.003 GB free of ") &&
                  strstr(status_message(), ", and 0.005 GB more are needed: lower train.micro_tokens or set train.recompute to \"block\", "
                                           "or end what else uses"),
              "%s", status_message());
    CHECK_OK(d.b.mem_create(&d.b, THERE / 2, &more)); /* that one was not for ever */
    d.b.mem_destroy(&d.b, more);
    cuda_host_memory_limit(size);
}
