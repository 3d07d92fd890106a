/* What doctor finds on a made machine, what it says of it, and that a backend which computes wrongly does not pass its test. */
#include <math.h>
#include <stdlib.h>

#include "data/formats/file.h"
#include "tests/harness.h"
#include "tools/doctor/facts.h"
#include "tools/doctor/pairs.h"
#include "tools/doctor/self_test.h"

static void put(const char *name, const char *text)
{
    char path[PATH_MAX], folder[PATH_MAX];
    file_join(path, test_dir(), name);
    REQUIRE_OK(file_make_folders(file_folder(folder, path)));
    REQUIRE_OK(file_write(path, text, strlen(text)));
}

static const FactRow *row(const Facts *f, const char *key)
{
    for (int i = 0; i < f->n_rows; i++)
        if (!strcmp(f->row[i].key, key))
            return &f->row[i];
    REQUIRE(!"no such row");
    return NULL;
}

TEST(doctor_reads_what_the_system_says)
{
    static Facts f;
    put("proc/meminfo", "MemTotal:  131072 kB\nMemAvailable:   65536 kB\n");
    put("proc/self/cgroup", "0::/job\n");
    put("proc/self/mountinfo", "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put("sys/fs/cgroup/job/cpu.max", "150000 100000\n");
    put("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27\n");
    put("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
    put("sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n");
    put("sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n"); /* its sound */
    put("sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n");
    put("sys/bus/pci/devices/0000:02:00.0/vendor", "0x1002\n"); /* another maker's */
    put("sys/bus/pci/devices/0000:02:00.0/class", "0x030000\n");
    put("dev/infiniband/uverbs0", "");
    setenv("CUDA_VISIBLE_DEVICES", "", 1);
    REQUIRE_OK(facts_find(&f, test_dir()));
    CHECK_STR(row(&f, "visible")->text, "none: CUDA_VISIBLE_DEVICES is empty");
    CHECK_INT(f.gpus, 1);
    CHECK_STR(f.module, "580.65.06");
    CHECK(f.infiniband);
    CHECK(f.processors == 1.5);
    CHECK_INT(row(&f, "available")->value, 64 << 20);
    CHECK_STR(row(&f, "limited_by")->text, "MemAvailable");
    CHECK_STR(row(&f, "control_groups_grant")->text, "the time of 1.5");
    CHECK(!strncmp(row(&f, "kernels_for")->text, "ref", 3));
    CHECK_STR(row(&f, "auto_takes")->text, "cpu");
    CHECK(strlen(row(&f, "zlib1g-dev")->text) > 2); /* a name that fits its column */
    CHECK(strlen(row(&f, "libsentencepiece-dev")->text) > 2);
    put("proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build  (dvs-builder)\n");
    REQUIRE_OK(facts_find(&f, test_dir()));
    CHECK_STR(f.module, "570.124.06");
}

/* A machine of which there is nothing to say. */
static Facts healthy(void)
{
    return (Facts){.built_with_cuda = true, .gpus = 2, .module = "580.65.06", .driver_file = "/usr/lib/libcuda.so.580.65.06", .threads = 8,
                   .processors = INFINITY, .shared_memory = (int64_t)8 << 30, .locked_memory = INT64_MAX, .infiniband = true};
}

static void expect(const Facts *f, bool fatal, const char *begin)
{
    static Finding found[PAIRS_MOST];
    REQUIRE(pairs_judge(found, f) == 1);
    CHECK_INT(found[0].fatal, fatal);
    CHECK_MSG(!strncmp(found[0].text, begin, strlen(begin)), "it says \"%s\"", found[0].text);
}

TEST(doctor_knows_what_does_not_go_together)
{
    static Finding none[PAIRS_MOST];
    Facts f = healthy();
    CHECK_INT(pairs_judge(none, &f), 0);
    f.module[0] = 0;
    expect(&f, true, "2 NVIDIA GPUs on the PCI bus, but the driver's kernel module is not loaded: load it");
    f = healthy();
    snprintf(f.driver_file, sizeof f.driver_file, "/usr/lib/libcuda.so.575.57.08");
    expect(&f, true, "the driver's kernel module is 580.65.06, its library /usr/lib/libcuda.so.575.57.08: ");
    snprintf(f.driver_file, sizeof f.driver_file, "/usr/lib/libcuda.so.1"); /* a file that does not tell */
    CHECK_INT(pairs_judge(none, &f), 0);
    f = healthy();
    snprintf(f.no_gpu, sizeof f.no_gpu, "no CUDA device: none is visible");
    expect(&f, true, "the driver's kernel module 580.65.06 is loaded, but no GPU can be used: no CUDA device: none is visible: until then");
    f.visible = ""; /* somebody's wish, and often a forgotten one */
    expect(&f, false, "CUDA_VISIBLE_DEVICES is \"\", which hides every GPU from programs: unset it");
    f.visible = "-1";
    expect(&f, false, "CUDA_VISIBLE_DEVICES is \"-1\", which hides every GPU from programs: unset it");
    f.visible = "1";
    expect(&f, true, "the driver's kernel module 580.65.06 is loaded, but no GPU can be used: ");
    f = healthy();
    f.built_with_cuda = false;
    expect(&f, false, "an NVIDIA GPU with its driver 580.65.06, and this build has no CUDA: ");
    f = healthy();
    f.shared_memory = 64 << 20;
    expect(&f, false, "2 GPUs, and /dev/shm has 64 MiB: ");
    f.gpus = 1;
    CHECK_INT(pairs_judge(none, &f), 0);
    f = healthy();
    f.locked_memory = 8 << 20;
    expect(&f, false, "InfiniBand, and only 8 MiB may be locked in memory: ");
    f.infiniband = false;
    CHECK_INT(pairs_judge(none, &f), 0);
    f = healthy();
    f.processors = 7.5; /* less than a processor is missing */
    CHECK_INT(pairs_judge(none, &f), 0);
    f.processors = 2;
    expect(&f, false, "8 threads, and control groups that grant the time of 2 processors: ");
    f = healthy();
    setenv("GENLLAVA_NCCL", "/nowhere", 1);
    f.unloaded = "GENLLAVA_NCCL";
    expect(&f, true, "GENLLAVA_NCCL is \"/nowhere\", which cannot be loaded");
}

static Status (*right_norm)(KernelCtx *ctx, const RmsNormFwd *a);

/* Wrong in one number of one row by a part in a thousand. */
static Status wrong_norm(KernelCtx *ctx, const RmsNormFwd *a)
{
    TRY(right_norm(ctx, a));
    if (a->rows > 3 && a->act == F32)
        ((float *)a->y)[3 * a->cols + 1] *= 1.001f;
    return OK;
}

/* Computes wrongly in f32, and cannot be opened again. */
static Status open_wrong(Backend *b, int device)
{
    (void)device;
    if (right_norm)
        return fail(ERR_DEVICE, "the device has fallen off the bus");
    TRY(cpu_open(b));
    b->native_bf16 = true;
    right_norm = b->ops.rmsnorm_fwd;
    b->ops.rmsnorm_fwd = wrong_norm;
    return OK;
}

TEST(doctor_finds_a_backend_that_computes_wrongly_or_not_at_all)
{
    SelfTest t[SELF_TESTS_MOST];
    int n;
    REQUIRE_OK(self_test_run(t, &n, open_wrong));
    REQUIRE(n >= 3);
    for (int i = 0; i < n - 2; i++) {
        CHECK_STR(t[i].backend, "cpu");
        CHECK_STR(t[i].failure, "");
        CHECK_MSG(t[i].right, "loss off by %g, gradients by %g", t[i].loss_off, t[i].gradient_off);
    }
    CHECK_STR(t[n - 2].backend, "cuda");
    CHECK_INT(t[n - 2].compute, F32);
    CHECK_STR(t[n - 2].failure, "");
    CHECK_MSG(!t[n - 2].right, "loss off by %g, gradients by %g", t[n - 2].loss_off, t[n - 2].gradient_off);
    CHECK_INT(t[n - 1].compute, BF16);
    CHECK(!t[n - 1].right);
    CHECK_STR(t[n - 1].failure, "the device has fallen off the bus");
}
