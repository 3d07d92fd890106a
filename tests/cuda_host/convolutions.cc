/* Which convolutions go through cuDNN (kernels/cuda/cudnn.cu), what it is asked, and what becomes of those that it does not take. The
 * library is tests/cuda_host/cudnn.cc. */
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "kernels/base/log.h"
#include "kernels/cuda/backend.cuh"

extern "C" {
#include "tests/kernels/compare.h"
}

namespace {

/* A library behaves so until the end of the scope. */
struct Library {
    explicit Library(const char *behaviour) { REQUIRE(!setenv("CUDA_HOST_CUDNN", behaviour, 1)); }
    ~Library() { unsetenv("CUDA_HOST_CUDNN"); }
};

/* What is logged until `text` is asked for. */
struct Said {
    char path[512];
    int terminal;

    Said()
    {
        snprintf(path, sizeof path, "%s/said", test_dir());
        terminal = dup(2);
        int file = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        REQUIRE(terminal >= 0 && file >= 0 && dup2(file, 2) == 2);
        close(file);
        log_level(LOG_INFO);
    }
    std::string text()
    {
        char all[4096];
        REQUIRE(dup2(terminal, 2) == 2);
        log_level(LOG_WARN);
        FILE *f = fopen(path, "r");
        REQUIRE(f);
        size_t n = fread(all, 1, sizeof all, f);
        fclose(f);
        return std::string(all, n);
    }
    ~Said() { close(terminal); }
};

/* An opened device with operands for small convolutions; all of them lie at multiples of 16. */
struct Device {
    Backend b;
    void *memory = nullptr;

    Device()
    {
        REQUIRE_OK(cuda_open(&b, 0));
        REQUIRE_OK(b.mem_create(&b, 1 << 20, &memory));
        cuda_host_clear();
    }
    ~Device()
    {
        CHECK_STR(cuda_host_error(), "");
        b.mem_destroy(&b, memory);
        b.close(&b);
        CHECK_STR(cuda_host_error(), "");
        cuda_host_clear();
    }
    char *array(int i) { return (char *)memory + ((size_t)i << 16); }
};

ConvShape three_by_three(int64_t stride) { return ConvShape{{2, 8, 8}, 8, 16, 3, 3, stride, 1, 1, 1, 1}; }

Conv2dFwd forward(Device *d, const ConvShape &s, DType type)
{
    Conv2dFwd a = {};
    a.shape = s, a.act = a.w_type = type, a.bias_type = F32;
    a.x = d->array(0), a.w = d->array(1), a.y = d->array(2);
    return a;
}

/* Launches of kernels of ours for it. */
int ours(Device *d, const Conv2dFwd &a)
{
    cuda_host_clear();
    CHECK_OK(d->b.ops.conv2d_fwd(&d->b.ctx, &a));
    return (int)cuda_host_counters().launches;
}
int ours(Device *d, const Conv2dDx &a)
{
    cuda_host_clear();
    CHECK_OK(d->b.ops.conv2d_dx(&d->b.ctx, &a));
    return (int)cuda_host_counters().launches;
}
int ours(Device *d, const Conv2dDw &a)
{
    cuda_host_clear();
    CHECK_OK(d->b.ops.conv2d_dw(&d->b.ctx, &a));
    return (int)cuda_host_counters().launches;
}

Conv2dDx images_back(Device *d, const ConvShape &s, DType type)
{
    Conv2dDx a = {};
    a.shape = s, a.act = a.w_type = type;
    a.dy = d->array(0), a.w = d->array(1), a.dx = d->array(2);
    return a;
}
Conv2dDw weights_back(Device *d, const ConvShape &s, DType type)
{
    Conv2dDw a = {};
    a.shape = s, a.act = type, a.dw_type = F32;
    a.x = d->array(0), a.dy = d->array(1), a.dw = d->array(2);
    return a;
}

Status open_first(Backend *b) { return cuda_open(b, 0); }

/* The tables of tests/kernels/conv.c. */
void keep_to_the_specification(const char *behaviour)
{
    int tables = 0;
    Library library(behaviour);
    cuda_host_errs = true;
    cuda_host_clear();
    for (const KernelCases *k = compare_registered(); k; k = k->next)
        if (k->op == OP_conv2d_fwd || k->op == OP_conv2d_dx || k->op == OP_conv2d_dw) {
            compare_run_on(k, open_first);
            tables++;
        }
    CHECK(tables >= 6);
    CHECK_STR(cuda_host_error(), "");
}

} // namespace

TEST(convolutions_of_cudnn_keep_to_the_specification) { keep_to_the_specification("MIXED"); }
TEST(convolutions_that_cudnn_refuses_late_keep_to_the_specification) { keep_to_the_specification("REFUSED"); }

TEST(cudnn_takes_what_it_can)
{
    for (const char *release : {"9", "8"}) {
        Library library(release);
        Device d;
        for (DType type : {F32, BF16})
            for (int64_t stride = 1; stride <= 2; stride++) {
                ConvShape s = three_by_three(stride);
                Conv2dFwd f = forward(&d, s, type);
                CHECK_INT(ours(&d, f), 0);
                f.bias = d.array(3);
                CHECK_INT(ours(&d, f), 1); /* one pass for whatever is added */
                f.shift = d.array(4), f.add = d.array(5);
                CHECK_INT(ours(&d, f), 1);
                f.bias = f.shift = nullptr, f.add = f.y;
                CHECK_INT(ours(&d, f), 0);
                CHECK_INT(ours(&d, images_back(&d, s, type)), 0);
                CHECK_INT(ours(&d, weights_back(&d, s, type)), type == F32 ? 0 : 1);
            }
        ConvShape one = {{2, 4, 4}, 8, 8, 1, 1, 1, 0, 0, 0, 0};
        CHECK_INT(ours(&d, forward(&d, one, BF16)), 0);
        ConvShape unread = {{1, 5, 5}, 8, 8, 3, 3, 2, 0, 0, 1, 1}; /* the zeros below and right are never reached */
        CHECK_INT(ours(&d, forward(&d, unread, BF16)), 0);
    }
    Library library("MIXED");
    Device d;
    CHECK_INT(ours(&d, weights_back(&d, three_by_three(1), BF16)), 0);
}

TEST(cudnn_is_not_asked_for_what_it_cannot)
{
    Library library("9");
    Said said;
    {
        Device d;
        ConvShape one_sided = {{2, 8, 8}, 8, 16, 3, 3, 2, 0, 0, 1, 1}, narrow = {{2, 8, 8}, 8, 16, 3, 1, 1, 1, 0, 1, 0},
                  s = three_by_three(1);
        CHECK_INT(ours(&d, forward(&d, one_sided, BF16)), 1);
        CHECK_INT(ours(&d, images_back(&d, one_sided, BF16)), 1);
        CHECK_INT(ours(&d, forward(&d, narrow, BF16)), 1);
        CHECK_INT(ours(&d, weights_back(&d, one_sided, F32)), 1);
        Conv2dFwd f = forward(&d, s, F32);
        f.w_type = BF16;
        CHECK_INT(ours(&d, f), 1);
        f = forward(&d, s, F32);
        f.x = d.array(0) + 4;
        CHECK_INT(ours(&d, f), 1);
        f = forward(&d, s, BF16);
        f.w = d.array(1) + 2;
        CHECK_INT(ours(&d, f), 1);
        Conv2dDx x = images_back(&d, s, BF16);
        x.dx = d.array(2) + 2;
        CHECK_INT(ours(&d, x), 1);
    }
    std::string text = said.text();
    CHECK_STR(text.c_str(), "");
}

TEST(what_cudnn_refuses_is_said_once_for_a_kind)
{
    for (const char *behaviour : {"NONE", "REFUSED", "GREEDY"}) {
        Library library(behaviour);
        Said said;
        {
            Device d;
            for (int64_t stride = 1; stride <= 2; stride++)
                for (int again = 0; again < 2; again++)
                    CHECK_INT(ours(&d, forward(&d, three_by_three(stride), BF16)), 1);
        }
        std::string text = said.text(), why = !strcmp(behaviour, "GREEDY") ? "more than 1 GiB of workspace" : "CUDNN_STATUS_NOT_SUPPORTED";
        std::string wanted = "convolutions, forward: cuDNN 9.19.0 does not take images of 8 x 8, 8 to 16 channels, kernel 3, stride 1 "
                             "(BF16): " + why + "; a kernel of this program computes them, and others that it does not take\n";
        CHECK_STR(text.c_str(), wanted.c_str());
    }
}

TEST(convolutions_do_without_cudnn)
{
    struct {
        const char *behaviour, *variable, *sentence;
    } const without[] = {
        {nullptr, nullptr, "without cuDNN: the emulation has none"},
        {"9", "0", "without cuDNN: GENLLAVA_CUDNN is 0"},
        {"CLOSED", nullptr, "without cuDNN 9.19.0: CUDNN_STATUS_NOT_INITIALIZED"},
    };
    for (const auto &w : without) {
        if (w.behaviour)
            REQUIRE(!setenv("CUDA_HOST_CUDNN", w.behaviour, 1));
        if (w.variable)
            REQUIRE(!setenv("GENLLAVA_CUDNN", w.variable, 1));
        Said said;
        {
            Device d;
            CHECK_INT(ours(&d, forward(&d, three_by_three(1), BF16)), 1);
            CHECK_INT(ours(&d, images_back(&d, three_by_three(1), BF16)), 1);
        }
        std::string text = said.text(), wanted = std::string("convolutions are computed by kernels of this program, ") + w.sentence + "\n";
        CHECK_STR(text.c_str(), wanted.c_str());
        unsetenv("CUDA_HOST_CUDNN");
        unsetenv("GENLLAVA_CUDNN");
    }
    Backend b;
    REQUIRE(!setenv("GENLLAVA_CUDNN", "no", 1));
    CHECK_FAILS(cuda_open(&b, 0), ERR_USAGE, "GENLLAVA_CUDNN is \"no\", expected 0 or 1");
    unsetenv("GENLLAVA_CUDNN");
}

TEST(cudnn_is_named_where_the_device_is)
{
    struct {
        const char *behaviour, *device, *origin;
    } const releases[] = {{"9", "compute capability 8.0, cuDNN 9.19.0", "cuBLASLt 130000, cuDNN 9.19.0, host emulation"},
                          {"8", "compute capability 8.0, cuDNN 8.9.7", "cuBLASLt 130000, cuDNN 8.9.7, host emulation"}};
    for (const auto &r : releases) {
        Library library(r.behaviour);
        Device d;
        char *choices;
        REQUIRE_OK(d.b.choices(&d.b, &choices));
        CHECK_MSG(strstr(d.b.description, r.device), "%s", d.b.description);
        CHECK_MSG(!strncmp(choices, r.origin, strlen(r.origin)), "%s", choices);
        mem_free(choices);
    }
}

TEST(a_convolution_that_fails_ends_the_run_with_a_sentence)
{
    for (const char *behaviour : {"BROKEN", "FULL"}) {
        Library library(behaviour);
        Device d;
        Conv2dFwd a = forward(&d, three_by_three(1), BF16);
        CHECK_INT(d.b.ops.conv2d_fwd(&d.b.ctx, &a), ERR_DEVICE);
        const char *wanted = *behaviour == 'B' ? "convolution: cuDNN 9.19.0: CUDNN_STATUS_EXECUTION_FAILED; GENLLAVA_CUDNN=0 in the "
                                                 "environment does without it"
                                               : "convolution: the device's memory is full, ";
        CHECK_MSG(!strncmp(status_message(), wanted, strlen(wanted)), "%s", status_message());
    }
}

TEST(a_convolution_that_fails_on_the_device_is_named)
{
    Library library("9");
    REQUIRE(!setenv("CUDA_HOST_FAIL", "cudnnConvolution:1:700", 1));
    REQUIRE(!setenv("CUDA_LAUNCH_BLOCKING", "1", 1));
    {
        Device d;
        Conv2dFwd a = forward(&d, three_by_three(1), BF16);
        CHECK_FAILS(d.b.ops.conv2d_fwd(&d.b.ctx, &a), ERR_DEVICE, "kernel convolution of cuDNN: an illegal memory access was encountered");
        cuda_host_revive();
        cuda_host_clear();
    }
    unsetenv("CUDA_LAUNCH_BLOCKING");
    unsetenv("CUDA_HOST_FAIL");
}

TEST(more_convolutions_than_are_remembered_are_computed_all_the_same)
{
    Library library("9");
    Device d;
    for (int64_t images = 1; images <= (int64_t)CONV_PLANS + 10; images++) {
        ConvShape s = {{images, 1, 1}, 8, 8, 1, 1, 1, 0, 0, 0, 0};
        CHECK_INT(ours(&d, forward(&d, s, BF16)), 0);
    }
}

/* What was measured is what is taken: nothing is waited for when the largest workspace comes last. */
TEST(workspace_of_convolutions_is_measured_before_the_first)
{
    Library library("9");
    Device d;
    Backend null;
    Conv2dFwd small = forward(&d, three_by_three(2), BF16), large = forward(&d, three_by_three(1), BF16);
    REQUIRE_OK(d.b.measure(&d.b, &null)); /* launches nothing */
    DeviceMemory before, after;
    REQUIRE_OK(d.b.memory(&d.b, &before));
    CHECK_OK(null.ops.conv2d_fwd(&null.ctx, &small));
    CHECK_OK(null.ops.conv2d_fwd(&null.ctx, &large));
    CHECK_INT(cuda_host_counters().launches, 0);
    REQUIRE_OK(d.b.memory(&d.b, &after));
    CHECK_INT(after.own - before.own, 4 * 2 * 8 * 8 * 16 + 4);
    null.close(&null);
    CHECK_INT(ours(&d, small), 0);
    CHECK_INT(ours(&d, large), 0);
    CHECK_INT(cuda_host_counters().waits, 0);
    CHECK_INT(cuda_host_counters().allocations, 0);
}
