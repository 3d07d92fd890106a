/* facts.c: reads what a machine is (facts.h): by the functions with which the other programs find their devices, libraries and limits. */
#include "tools/doctor/facts.h"

#include <ctype.h>
#include <dirent.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "kernels/base/built_with.h"
#include "kernels/base/cli.h"
#include "kernels/base/processors.h"
#include "train/dist/device.h"
#include "train/dist/found.h"
#include "train/dist/mpi.h"
#include "train/dist/nccl.h"
#include "train/dist/room.h"

/* Linked in where the CUDA toolkit was found; NULL elsewhere. */
__attribute__((weak)) Status cuda_open(Backend *b, int device);

/* ---------------------------------------------------------------- rows */

static void add_text(Facts *f, const char *section, const char *key, const char *text)
{
    if (f->n_rows == FACT_ROWS_MOST)
        return;
    FactRow *r = &f->row[f->n_rows++];
    *r = (FactRow){.section = section, .value = -1};
    snprintf(r->key, sizeof r->key, "%s", key);
    snprintf(r->text, sizeof r->text, "%s", text);
}

static void add_count(Facts *f, const char *section, const char *key, int64_t n)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)n);
    add_text(f, section, key, text);
    f->row[f->n_rows - 1].value = n;
}

static void add_bytes(Facts *f, const char *section, const char *key, int64_t n)
{
    char text[32];
    if (n < 0 || n == INT64_MAX) {
        add_text(f, section, key, n < 0 ? "unknown" : "no limit");
        return;
    }
    add_text(f, section, key, file_size_text(text, sizeof text, (size_t)n));
    f->row[f->n_rows - 1].value = n;
}

/* ---------------------------------------------------------------- processor, memory, disk */

static void find_processor(Facts *f, const char *root)
{
    char sets[64];
    f->threads = omp_get_max_threads();
    f->processors = room_processors(root);
    cpu_name_sets(sets, sizeof sets);
    add_text(f, "processor", "kernels_for", sets);
    add_count(f, "processor", "online", sysconf(_SC_NPROCESSORS_ONLN));
    add_count(f, "processor", "usable", processors_count());
    add_count(f, "processor", "threads", f->threads);
    if (isfinite(f->processors)) {
        char text[64];
        snprintf(text, sizeof text, "the time of %.3g", f->processors);
        add_text(f, "processor", "control_groups_grant", text);
    }
}

static int64_t limit_of(int which)
{
    struct rlimit limit;
    return getrlimit(which, &limit) ? -1 : limit.rlim_cur >= INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur;
}

static int64_t free_bytes(const char *path)
{
    struct statvfs s;
    return statvfs(path, &s) ? -1 : (int64_t)(s.f_bavail * s.f_frsize);
}

static int64_t size_of(const char *path)
{
    struct statvfs s;
    return statvfs(path, &s) ? -1 : (int64_t)(s.f_blocks * s.f_frsize);
}

static void find_memory(Facts *f, const char *root)
{
    Room room;
    room_of_machine(&room, root);
    add_bytes(f, "memory", "installed", (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
    add_bytes(f, "memory", "available", room.bytes);
    add_text(f, "memory", "limited_by", room.name);
    add_bytes(f, "memory", "addresses", limit_of(RLIMIT_AS));
    f->locked_memory = limit_of(RLIMIT_MEMLOCK);
    add_bytes(f, "memory", "locked", f->locked_memory);
}

static void find_disk(Facts *f, const char *root)
{
    char path[PATH_MAX];
    const char *tmp = getenv("TMPDIR");
    add_bytes(f, "disk", "free_here", free_bytes("."));
    add_bytes(f, "disk", "free_in_tmpdir", free_bytes(tmp && *tmp ? tmp : "/tmp"));
    f->shared_memory = size_of(file_join(path, root, "dev/shm"));
    add_bytes(f, "disk", "dev_shm", f->shared_memory);
    add_bytes(f, "disk", "largest_file", limit_of(RLIMIT_FSIZE));
    add_count(f, "disk", "open_files", limit_of(RLIMIT_NOFILE));
}

/* ---------------------------------------------------------------- libraries */

/* Rows of --version, as cli.h lays them out, become rows here. */
static void take_version_rows(Facts *f, const char *text)
{
    while (*text) {
        char name[64];
        size_t n = strcspn(text, "\n"), end = n < CLI_VERSION_COLUMNS ? n : CLI_VERSION_COLUMNS;
        while (end < n && text[end] != ' ') /* a long name */
            end++;
        snprintf(name, sizeof name, "%.*s", (int)end, text);
        for (size_t k = strlen(name); k && name[k - 1] == ' '; k--)
            name[k - 1] = 0;
        char version[FACT_TEXT_BYTES];
        while (end < n && text[end] == ' ')
            end++;
        snprintf(version, sizeof version, "%.*s", (int)(n - end), text + end);
        add_text(f, "libraries", name, version);
        text += n + (text[n] == '\n');
    }
}

static Status find_libraries(Facts *f)
{
    char *text = NULL;
    size_t n = 0;
    FILE *rows = open_memstream(&text, &n);
    if (!rows)
        return fail(ERR_NOMEM, "the list of libraries: out of memory");
    built_with_print(rows);
    found_print(rows);
    bool written = !fclose(rows);
    if (written)
        take_version_rows(f, text);
    free(text);
    return written ? OK : fail(ERR_NOMEM, "the list of libraries: out of memory");
}

/* ---------------------------------------------------------------- GPU */

/* The first line of a file; "": there is none. */
static void read_line(char *out, int n, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file || !fgets(out, n, file))
        *out = 0;
    out[strcspn(out, "\n")] = 0;
    if (file)
        fclose(file);
}

/* The version is the first number behind "Module": "Kernel Module  580.65.06", but "Open Kernel Module for x86_64  580.65.06". */
static void read_module(Facts *f, const char *path)
{
    char line[512];
    read_line(line, sizeof line, path);
    for (const char *at = strstr(line, "Module"); at; at = strchr(at, ' ')) {
        at += strspn(at, " ");
        if (isdigit((unsigned char)*at)) {
            snprintf(f->module, sizeof f->module, "%.*s", (int)strcspn(at, " "), at);
            return;
        }
    }
}

/* Display and 3D controllers (class 0x03….) whose vendor is NVIDIA (0x10de). */
static int count_gpus(const char *root)
{
    char folder[PATH_MAX], device[PATH_MAX], path[PATH_MAX], vendor[32], class[32];
    int n = 0;
    DIR *d = opendir(file_join(folder, root, "sys/bus/pci/devices"));
    for (struct dirent *e; d && (e = readdir(d));) {
        file_join(device, folder, e->d_name);
        read_line(vendor, sizeof vendor, file_join(path, device, "vendor"));
        read_line(class, sizeof class, file_join(path, device, "class"));
        n += !strcmp(vendor, "0x10de") && !strncmp(class, "0x03", 4);
    }
    if (d)
        closedir(d);
    return n;
}

static void find_gpu(Facts *f, const char *root)
{
    char path[PATH_MAX];
    f->built_with_cuda = cuda_open != NULL;
    f->gpus = count_gpus(root);
    read_module(f, file_join(path, root, "proc/driver/nvidia/version"));
    found_driver_file(f->driver_file);
    f->infiniband = !access(file_join(path, root, "dev/infiniband/uverbs0"), F_OK);
    f->visible = getenv("CUDA_VISIBLE_DEVICES");
    add_count(f, "gpu", "nvidia_on_pci", f->gpus);
    if (f->visible)
        add_text(f, "gpu", "visible", *f->visible ? f->visible : "none: CUDA_VISIBLE_DEVICES is empty");
    add_text(f, "gpu", "kernel_module", *f->module ? f->module : "not loaded");
    add_text(f, "gpu", "driver_library", *f->driver_file ? f->driver_file : "not found");
    add_text(f, "gpu", "infiniband", f->infiniband ? "there" : "not there");
}

static Status find_device(Facts *f)
{
    Backend b;
    TRY_IN(device_pick(&b, DEVICE_AUTO, 0, f->no_gpu, sizeof f->no_gpu), "device \"auto\"");
    add_text(f, "device", "auto_takes", b.name);
    add_text(f, "device", "which_is", b.description);
    add_text(f, "device", "computes_in", b.native_bf16 ? "bf16" : "f32");
    add_text(f, "device", "because", !strcmp(b.name, "cuda") ? "there is a GPU that it can use"
                                     : *f->no_gpu            ? f->no_gpu
                                                             : "this build has no CUDA");
    b.close(&b);
    return OK;
}

/* A variable that names a file which is no such library. */
static const char *find_unloaded(void)
{
    const char *mpi = getenv("GENLLAVA_MPI"), *nccl = getenv("GENLLAVA_NCCL");
    if (mpi && strcmp(mpi, "none") && !mpi_load())
        return "GENLLAVA_MPI";
    return nccl && strcmp(nccl, "none") && !nccl_load() ? "GENLLAVA_NCCL" : NULL;
}

Status facts_find(Facts *f, const char *root)
{
    struct utsname system;
    *f = (Facts){.gpus = 0};
    if (!uname(&system)) {
        char text[FACT_TEXT_BYTES];
        snprintf(text, sizeof text, "%.64s %.128s %.64s", system.sysname, system.release, system.machine);
        add_text(f, "system", "kernel", text);
    }
    find_processor(f, root);
    find_memory(f, root);
    find_disk(f, root);
    TRY(find_libraries(f));
    find_gpu(f, root);
    f->unloaded = find_unloaded();
    return find_device(f);
}
