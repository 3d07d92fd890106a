/* Matrices of 8-bit floats on emulated devices that multiply them: which calls of cuBLASLt they become, what they move, and that their
 * algorithms are kept with the run. tests/kernels/fp8.c runs on the oldest device, which multiplies none. */
#include "tests/cuda_host/cuda_host.h"

#include <stdlib.h>
#include <string.h>

#include <vector>

#include "kernels/cuda/backend.cuh"

extern "C" {
#include "kernels/base/log.h"
#include "kernels/ops/cost.h"
#include "tests/kernels/compare.h"
}

namespace {

struct Device {
    Backend b;
    char *memory;
    size_t used = 0;
    static constexpr size_t BYTES = 16 << 20;

    explicit Device(const char *capability)
    {
        void *p = nullptr;
        REQUIRE(!setenv("CUDA_HOST_CAPABILITY", capability, 1));
        REQUIRE_OK(cuda_open(&b, 0));
        REQUIRE_OK(b.mem_create(&b, BYTES, &p));
        memory = (char *)p;
        cuda_host_clear();
    }
    ~Device()
    {
        CHECK_STR(cuda_host_error(), "");
        b.mem_destroy(&b, memory);
        b.close(&b);
        unsetenv("CUDA_HOST_CAPABILITY");
    }
    template <class T> T *take(int64_t n)
    {
        T *p = (T *)(memory + used);
        used += ((size_t)n * sizeof(T) + 255) & ~(size_t)255;
        REQUIRE(used <= BYTES);
        return p;
    }
};

MatmulFp8 product(Device *d, int64_t m, int64_t n, int64_t k)
{
    MatmulFp8 a = {};
    a.m = m, a.n = n, a.k = k, a.ldc = n, a.c_type = BF16;
    a.a = d->take<uint8_t>(m * k), a.b = d->take<uint8_t>(n * k);
    a.a_scale = d->take<float>(m), a.b_scale = d->take<float>(n);
    a.c = d->take<uint16_t>(m * n);
    return a;
}

uint64_t launches_of(Device *d, const MatmulFp8 &a)
{
    cuda_host_clear();
    CHECK_OK(d->b.ops.matmul_fp8(&d->b.ctx, &a));
    cuda_host_settle();
    return cuda_host_counters().launches;
}

Status open_first(Backend *b) { return cuda_open(b, 0); }

int lines_with(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = strstr(text, what); p; p = strstr(p + 1, what))
        n++;
    return n;
}

} // namespace

TEST(fp8_is_what_devices_of_8_9_or_newer_multiply)
{
    const struct {
        const char *capability;
        bool can;
    } all[] = {{"8.0", false}, {"8.6", false}, {"8.9", true}, {"9.0", true}, {"12.0", true}};
    for (auto &x : all) {
        Device d(x.capability);
        CHECK_MSG(d.b.multiplies_fp8 == x.can, "%s", x.capability);
    }
}

/* The specification's products, scaled by cuBLASLt and by a pass of ours. */
TEST(fp8_products_are_scaled_in_the_library_or_behind_it)
{
    log_level(LOG_QUIET);
    for (const char *capability : {"8.9", "9.0"}) {
        REQUIRE(!setenv("CUDA_HOST_CAPABILITY", capability, 1));
        for (const KernelCases *k = compare_registered(); k; k = k->next)
            if (k->op == OP_matmul_fp8)
                compare_run_on(k, open_first);
    }
    unsetenv("CUDA_HOST_CAPABILITY");
}

static uint64_t launches_on(const char *capability, int64_t k)
{
    Device d(capability);
    return launches_of(&d, product(&d, 48, 64, k));
}

/* Launches of ours: the emulation counts none for a call of the library. */
TEST(fp8_products_are_one_call_where_the_library_scales_rows)
{
    log_level(LOG_QUIET);
    CHECK_INT(launches_on("9.0", 128), 0);
    CHECK_INT(launches_on("8.9", 128), 1);
    CHECK_INT(launches_on("12.0", 128), 1);
    CHECK_INT(launches_on("8.0", 128), 2);
    CHECK_INT(launches_on("9.0", 120), 1); /* rows of no whole vectors: our own kernel, scales and all */
}

/* Sums of 64 MiB: more rows than fit. */
TEST(sums_that_are_scaled_behind_the_library_come_in_stretches_of_rows)
{
    enum { M = 17, N = 1 << 20, K = 16 }; /* 16 rows of sums are 64 MiB */
    Device d("8.9");
    std::vector<uint8_t> ones(M * K, 0x38);
    std::vector<float> a_scale(M), b_scale(1, 0.5f);
    for (int i = 0; i < M; i++)
        a_scale[i] = (float)(i + 1);
    void *memory[2] = {};
    REQUIRE_OK(d.b.mem_create(&d.b, (size_t)N * (K + 4), &memory[0]));
    REQUIRE_OK(d.b.mem_create(&d.b, (size_t)M * N * 2, &memory[1]));
    uint8_t *a = d.take<uint8_t>(M * K), *b = (uint8_t *)memory[0];
    float *scale = d.take<float>(M), *column_scale = (float *)(b + (size_t)N * K);
    MatmulFp8 x = {};
    x.m = M, x.n = N, x.k = K, x.ldc = N, x.c_type = BF16;
    x.a = a, x.a_scale = scale, x.b = b, x.b_scale = column_scale, x.c = memory[1];
    REQUIRE_OK(d.b.upload(&d.b, a, ones.data(), M * K));
    REQUIRE_OK(d.b.upload(&d.b, scale, a_scale.data(), M * sizeof(float)));
    for (size_t column : {(size_t)0, (size_t)N - 1}) {
        REQUIRE_OK(d.b.upload(&d.b, b + column * K, ones.data(), K));
        REQUIRE_OK(d.b.upload(&d.b, column_scale + column, b_scale.data(), sizeof(float)));
    }
    CHECK_INT(launches_of(&d, x), 2);
    for (size_t i = 0; i < M; i++)
        for (size_t column : {(size_t)0, (size_t)1, (size_t)N - 1}) {
            bf16 c;
            REQUIRE_OK(d.b.download(&d.b, &c, (const char *)x.c + 2 * (i * N + column), sizeof c));
            CHECK_MSG(bf16_to_f32(c) == (column == 1 ? 0 : 8.0f * (float)(i + 1)), "row %zu, column %zu: %g", i, column,
                      (double)bf16_to_f32(c));
        }
    for (void *p : memory)
        d.b.mem_destroy(&d.b, p);
}

TEST(quantizing_reads_rows_once)
{
    enum { ROWS = 3 };
    for (int64_t cols : {(int64_t)256, (int64_t)4096, (int64_t)28672}) {
        Device d("9.0");
        QuantizeRows a = {};
        Cost cost;
        a.rows = ROWS, a.cols = a.ldx = cols, a.x_type = BF16;
        a.x = d.take<uint16_t>(ROWS * cols), a.code = d.take<uint8_t>(ROWS * cols), a.scale = d.take<float>(ROWS);
        cost_quantize_rows(&a, &cost);
        cuda_host_clear();
        CHECK_OK(d.b.ops.quantize_rows(&d.b.ctx, &a));
        cuda_host_settle();
        CudaHostCounters c = cuda_host_counters();
        CHECK_INT(c.launches, 1);
        CHECK_INT(c.bytes_read, (int64_t)cost.bytes_read);
        CHECK_INT(c.bytes_written, (int64_t)cost.bytes_written);
    }
}

TEST(algorithms_of_fp8_products_are_kept_with_the_run)
{
    char *first = nullptr, *again = nullptr;
    {
        Device d("9.0");
        launches_of(&d, product(&d, 48, 64, 128));
        REQUIRE_OK(d.b.choices(&d.b, &first));
        CHECK_INT(lines_with(first, "\n64 64 128 128 128 64 8 8 1 0 1 0 "), 1);
    }
    Device d("9.0");
    REQUIRE_OK(d.b.choose(&d.b, first));
    launches_of(&d, product(&d, 48, 64, 128));
    REQUIRE_OK(d.b.choices(&d.b, &again));
    CHECK_STR(again, first);
    mem_free(first);
    mem_free(again);
}

/* While a run is measured nothing is launched; memory for sums is asked for where they are scaled behind the library, and there alone. */
TEST(fp8_products_are_measured_as_they_will_be_computed)
{
    for (const char *capability : {"8.9", "9.0"}) {
        Device d(capability);
        Backend null;
        REQUIRE_OK(d.b.measure(&d.b, &null));
        MatmulFp8 a = product(&d, 48, 64, 128);
        QuantizeRows q = {};
        q.rows = 48, q.cols = q.ldx = 128, q.x_type = BF16, q.x = a.c, q.code = d.take<uint8_t>(48 * 128), q.scale = d.take<float>(48);
        cuda_host_clear();
        CHECK_OK(null.ops.quantize_rows(&null.ctx, &q));
        CHECK_OK(null.ops.matmul_fp8(&null.ctx, &a));
        cuda_host_settle();
        CHECK_INT(cuda_host_counters().launches, 0);
        CHECK_INT((int64_t)cuda_state(&d.b.ctx)->workspace_measured, strcmp(capability, "8.9") ? 0 : 48 * 64 * (int64_t)sizeof(float));
        null.close(&null);
    }
}
