/* Algorithms of matmuls chosen by the device's clock (kernels/cuda/offers.cu): which is taken, that results are those of one product, and
 * that nothing is timed twice. cublasLt.cc says how long each of its algorithms takes: the first that may be used 0.3 s, the second 0.1 s,
 * and those that may not be used less. */
#include <cublasLt.h>

#include <string.h>

#include <vector>

#include "kernels/base/log.h"
#include "kernels/cuda/backend.cuh"

extern "C" {
#include "tests/kernels/compare.h"
}

namespace {

enum { FIRST = 4, FASTEST = 5, OFFERED = 8 /* so many are timed */, M = 16, N = 32, K = 64 };

struct Device {
    Backend b;
    void *memory;

    Device()
    {
        REQUIRE_OK(cuda_open(&b, 0));
        REQUIRE_OK(b.mem_create(&b, 1 << 20, &memory));
        std::vector<uint16_t> x((1 << 18) / 2);
        for (size_t i = 0; i < x.size(); i++) /* small numbers: every order of adding gives the same */
            x[i] = f32_to_bf16((float)((int)(i * 7 % 13) - 6) / 8);
        REQUIRE_OK(b.upload(&b, memory, x.data(), 1 << 18));
        REQUIRE_OK(b.upload(&b, (char *)memory + (1 << 18), x.data(), 1 << 18));
        cuda_state(&b.ctx)->timed_flops = 0;
        cuda_host_clear();
    }
    ~Device()
    {
        CHECK_STR(cuda_host_error(), "");
        b.mem_destroy(&b, memory);
        b.close(&b);
    }
    float *c() { return (float *)((char *)memory + (1 << 19)); }
};

Matmul product(Device *d, int64_t m, int64_t n)
{
    Matmul a = {};
    a.m = m, a.n = n, a.k = K, a.lda = K, a.ldb = K, a.ldc = n, a.b_trans = true;
    a.a_type = a.b_type = BF16, a.alpha = 1;
    a.a = d->memory, a.b = (char *)d->memory + (1 << 18), a.c = d->c();
    return a;
}

/* How many products of the library it takes. */
int products(Device *d, const Matmul &a)
{
    const uint64_t before = cublas_host_counters().products;
    CHECK_OK(d->b.ops.matmul(&d->b.ctx, &a));
    return (int)(cublas_host_counters().products - before);
}

/* The number that the library gives the algorithm on a line of the text, from 0. */
int algorithm(Device *d, int line)
{
    char *text;
    unsigned long long number = 99;
    REQUIRE_OK(d->b.choices(&d->b, &text));
    const char *at = text;
    for (int i = 0; at && i <= line; i++)
        at = (at = strchr(at, '\n')) ? at + 1 : at;
    const char *word = at ? strstr(at, "6375626c61734c74") : nullptr;
    if (word)
        sscanf(word + 16, "%16llx", &number);
    mem_free(text);
    return (int)number;
}

std::vector<float> result(Device *d, size_t n)
{
    std::vector<float> out(n);
    REQUIRE_OK(d->b.download(&d->b, out.data(), d->c(), n * sizeof(float)));
    return out;
}

} // namespace

TEST(the_fastest_offer_that_may_be_used_is_taken)
{
    Device plain, d;
    CHECK_INT(products(&plain, product(&plain, M, N)), 1);
    CHECK_INT(algorithm(&plain, 0), FIRST);
    d.b.time_choices(&d.b, OFFERED);
    /* of two offers, twice: one to warm up and three by the clock; and the product itself */
    CHECK_INT(products(&d, product(&d, M, N)), 2 * 2 * 4 + 1);
    CHECK_INT(algorithm(&d, 0), FASTEST);
    CHECK(result(&d, M * N) == result(&plain, M * N));

    /* Once for a bucket, whatever other shape of it comes. */
    const uint64_t asked = cublas_host_counters().asked;
    CHECK_INT(products(&d, product(&d, M, N)), 1);
    CHECK_INT(products(&d, product(&d, M - 3, N)), 1);
    CHECK_INT(products(&d, product(&d, M - 7, N)), 1);
    CHECK_INT((int)(cublas_host_counters().asked - asked), 0);
    CHECK_INT(products(&d, product(&d, M + 1, N)), 2 * 2 * 4 + 1);

    d.b.time_choices(&d.b, 0);
    CHECK_INT(products(&d, product(&d, M, N + 8)), 1);
    CHECK_INT(algorithm(&d, 2), FIRST);
}

/* f32 products of an algorithm that takes TF32 would be the fastest of all. */
TEST(what_may_not_be_used_is_not_timed)
{
    Device d;
    Matmul a = product(&d, M, N);
    a.a_type = a.b_type = F32;
    d.b.time_choices(&d.b, OFFERED);
    CHECK_INT(products(&d, a), 2 * 2 * 4 + 1);
    CHECK_INT(algorithm(&d, 0), FASTEST);
}

TEST(products_that_add_are_timed_without_adding_twice)
{
    const std::vector<float> start(M * N, 3.0f);
    for (int in_place = 0; in_place < 2; in_place++) {
        Device plain, d;
        d.b.time_choices(&d.b, OFFERED);
        for (Device *on : {&plain, &d}) {
            Matmul a = product(on, M, N);
            float *addend = on->c() + M * N;
            a.accumulate = in_place;
            a.add = in_place ? nullptr : addend;
            REQUIRE_OK(on->b.upload(&on->b, in_place ? on->c() : addend, start.data(), start.size() * sizeof(float)));
            CHECK_INT(products(on, a), on == &d ? 2 * 2 * 4 + 1 : 1);
        }
        CHECK_INT(algorithm(&d, 0), FASTEST);
        CHECK(result(&d, M * N) == result(&plain, M * N));
    }
    /* In a part of wider rows too, whose other columns stay; without room on the device the first is taken. */
    for (int room = 0; room < 2; room++) {
        Device plain, d;
        const size_t size = cuda_host_memory_size();
        d.b.time_choices(&d.b, OFFERED);
        for (Device *on : {&plain, &d}) {
            Matmul a = product(on, M, N);
            a.accumulate = true;
            a.ldc = 2 * N;
            std::vector<float> wide(M * 2 * N, 5.0f);
            REQUIRE_OK(on->b.upload(&on->b, on->c(), wide.data(), wide.size() * sizeof(float)));
            if (!room)
                cuda_host_memory_limit(cuda_host_memory_used() + (256 << 20));
            CHECK_INT(products(on, a), on == &d && room ? 2 * 2 * 4 + 1 : 1);
            cuda_host_memory_limit(size);
        }
        CHECK_INT(algorithm(&d, 0), room ? FASTEST : FIRST);
        CHECK(result(&d, M * 2 * N) == result(&plain, M * 2 * N));
    }
}

/* On the host nothing is kept meanwhile, and on the device nothing afterwards. */
TEST(products_that_add_are_timed_in_memory_of_the_device)
{
    Device d;
    Matmul a = product(&d, M, N);
    a.accumulate = true;
    const size_t before = cuda_host_memory_used();
    d.b.time_choices(&d.b, OFFERED);
    CHECK_INT(products(&d, a), 2 * 2 * 4 + 1);
    CHECK_INT((long long)cuda_host_memory_used(), (long long)before);
    CHECK(cuda_host_memory_peak() >= before + M * N * sizeof(float));
}

TEST(an_offer_that_fails_is_left_out_and_it_is_an_error_when_all_do)
{
    Device plain, d, none;
    products(&plain, product(&plain, M, N));
    REQUIRE(!setenv("CUDA_HOST_CUBLAS", "FAILING", 1));
    d.b.time_choices(&d.b, OFFERED);
    log_level(LOG_QUIET);
    CHECK_INT(products(&d, product(&d, M, N)), 2 * 4 + 1);
    CHECK_INT(algorithm(&d, 0), FASTEST);
    CHECK(result(&d, M * N) == result(&plain, M * N));
    REQUIRE(!setenv("CUDA_HOST_CUBLAS", "ALL_FAILING", 1));
    none.b.time_choices(&none.b, OFFERED);
    const Matmul a = product(&none, M, N);
    CHECK_FAILS(none.b.ops.matmul(&none.b.ctx, &a), ERR_DEVICE, "timing matmuls: cuBLASLt status 14");
    log_level(LOG_WARN);
    unsetenv("CUDA_HOST_CUBLAS");
}

TEST(what_was_kept_with_the_run_is_not_timed_again_and_ends_the_timing)
{
    char *kept, *again, elsewhere[4096];
    {
        Device d;
        d.b.time_choices(&d.b, OFFERED);
        products(&d, product(&d, M, N));
        REQUIRE_OK(d.b.choices(&d.b, &kept));
    }
    Device resumed;
    resumed.b.time_choices(&resumed.b, OFFERED);
    REQUIRE_OK(resumed.b.choose(&resumed.b, kept));
    CHECK_INT(products(&resumed, product(&resumed, M, N)), 1);
    REQUIRE_OK(resumed.b.choices(&resumed.b, &again));
    CHECK_STR(again, kept);
    CHECK_INT(products(&resumed, product(&resumed, M, N + 8)), 1); /* as in the run that went straight on */
    CHECK_INT(algorithm(&resumed, 1), FIRST);

    /* It replaces what a rank has chosen by itself. */
    Device other;
    products(&other, product(&other, M, N));
    products(&other, product(&other, M, N + 8));
    REQUIRE_OK(other.b.choose(&other.b, kept));
    mem_free(again);
    REQUIRE_OK(other.b.choices(&other.b, &again));
    CHECK_STR(again, kept);
    CHECK_INT(products(&other, product(&other, M, N)), 1);

    /* Kept for another device or library, it is timed anew. */
    Device here;
    log_level(LOG_QUIET);
    snprintf(elsewhere, sizeof elsewhere, "another device%s", strchr(kept, '\n'));
    here.b.time_choices(&here.b, OFFERED);
    REQUIRE_OK(here.b.choose(&here.b, elsewhere));
    CHECK_INT(products(&here, product(&here, M, N)), 2 * 2 * 4 + 1);
    log_level(LOG_WARN);
    mem_free(kept);
    mem_free(again);
}

TEST(small_products_are_not_timed_and_the_environment_says_which_are)
{
    const struct {
        const char *set;
        int64_t m;
        int products;
    } cases[] = {{nullptr, M, 1}, {"none", M, 1}, {"1e5", M, 17}, {"1e5", M / 2, 1}, {"0", 1, 17}};
    for (const auto &c : cases) {
        if (c.set)
            REQUIRE(!setenv("GENLLAVA_MATMUL_TIMING", c.set, 1));
        double flops;
        REQUIRE_OK(offers_setting(&flops));
        Device d;
        cuda_state(&d.b.ctx)->timed_flops = flops; /* 2 · 16 · 32 · 64 are 65536: at 1e5 only with n twice as large */
        d.b.time_choices(&d.b, OFFERED);
        CHECK_MSG(products(&d, product(&d, c.m, 2 * N)) == c.products, "%s, m %d", c.set ? c.set : "unset", (int)c.m);
        unsetenv("GENLLAVA_MATMUL_TIMING");
    }
    Backend b;
    for (const char *wrong : {"", "1e9x", "-1", "nan", "some"}) {
        REQUIRE(!setenv("GENLLAVA_MATMUL_TIMING", wrong, 1));
        CHECK_INT(cuda_open(&b, 0), ERR_USAGE);
    }
    REQUIRE(!setenv("GENLLAVA_MATMUL_TIMING", "some", 1));
    CHECK_FAILS(cuda_open(&b, 0), ERR_USAGE,
                "GENLLAVA_MATMUL_TIMING is \"some\", expected none or the number of FLOP from which on matrix products are timed");
    unsetenv("GENLLAVA_MATMUL_TIMING");
}

/* What a bucket may hold is what cannot begin elsewhere for being longer: rows of A, and rows of both where they are added up. */
TEST(buckets_of_rows_have_their_tops)
{
    const int64_t tops[][2] = {{1, 1},     {2, 2},     {3, 4},     {129, 256},     {256, 256},
                               {257, 320}, {512, 512}, {513, 640}, {16000, 16384}, {16385, 20480}};
    for (const auto &t : tops) {
        MatmulKey k = {};
        k.m = k.n = k.k = t[0];
        CHECK_MSG(matmul_bucket(&k).m == t[1] && matmul_bucket(&k).k == t[0] && matmul_bucket(&k).n == t[0], "%d rows", (int)t[0]);
        k.a_trans = 1;
        CHECK_MSG(matmul_bucket(&k).m == t[0] && matmul_bucket(&k).k == t[1] && matmul_bucket(&k).n == t[0], "%d added up", (int)t[0]);
        k.b_trans = 1;
        CHECK(matmul_bucket(&k).m == t[0] && matmul_bucket(&k).k == t[0]);
    }
}
