/* pairs.c: the table of what does not go together (pairs.h), each with where that is documented. */
#include "tools/doctor/pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Judge {
    bool fatal;
    bool (*holds)(const Facts *f, char *found, size_t n); /* found: what was found, for the sentence */
    const char *advice;                                   /* … and where it is documented */
} Judge;

static bool gpu_without_module(const Facts *f, char *found, size_t n)
{
    snprintf(found, n, "%d NVIDIA GPU%s on the PCI bus, but the driver's kernel module is not loaded", f->gpus, status_plural(f->gpus));
    return f->built_with_cuda && f->gpus > 0 && !*f->module;
}

/* The devices behind the first number that is none are hidden, so all of them. */
static bool hides_all(const Facts *f) { return f->visible && (!*f->visible || !strncmp(f->visible, "-1", 2)); }

static bool gpu_hidden(const Facts *f, char *found, size_t n)
{
    snprintf(found, n, "CUDA_VISIBLE_DEVICES is \"%s\", which hides every GPU from programs", f->visible ? f->visible : "");
    return f->built_with_cuda && hides_all(f) && (f->gpus > 0 || *f->module);
}

static bool gpu_not_usable(const Facts *f, char *found, size_t n)
{
    snprintf(found, n, "the driver's kernel module %s is loaded, but no GPU can be used: %s", f->module, f->no_gpu);
    return *f->module && *f->no_gpu && !hides_all(f);
}

static bool gpu_without_cuda(const Facts *f, char *found, size_t n)
{
    snprintf(found, n, "an NVIDIA GPU with its driver %s, and this build has no CUDA", f->module);
    return !f->built_with_cuda && *f->module;
}

/* The library is libcuda.so.VERSION. */
static bool module_and_library_differ(const Facts *f, char *found, size_t n)
{
    const char *so = strstr(f->driver_file, ".so."), *version = so ? so + strlen(".so.") : "";
    snprintf(found, n, "the driver's kernel module is %s, its library %s", f->module, f->driver_file);
    return *f->module && strchr(version, '.') && strcmp(f->module, version) != 0;
}

static bool little_shared_memory(const Facts *f, char *found, size_t n)
{
    snprintf(found, n, "%d GPUs, and /dev/shm has %lld MiB", f->gpus, (long long)(f->shared_memory >> 20));
    return f->built_with_cuda && f->gpus > 1 && f->shared_memory >= 0 && f->shared_memory < (int64_t)512 << 20;
}

static bool little_locked_memory(const Facts *f, char *found, size_t n)
{
    snprintf(found, n, "InfiniBand, and only %lld MiB may be locked in memory", (long long)(f->locked_memory >> 20));
    return f->infiniband && f->locked_memory >= 0 && f->locked_memory < (int64_t)1 << 30;
}

static bool more_threads_than_time(const Facts *f, char *found, size_t n)
{
    snprintf(found, n, "%d threads, and control groups that grant the time of %.3g processors", f->threads, f->processors);
    return f->threads >= f->processors + 1;
}

static bool library_not_loaded(const Facts *f, char *found, size_t n)
{
    const char *path = f->unloaded ? getenv(f->unloaded) : NULL;
    snprintf(found, n, "%s is \"%s\", which cannot be loaded as such a library", f->unloaded ? f->unloaded : "", path ? path : "");
    return f->unloaded != NULL;
}

static const Judge JUDGES[] = {
    {true, gpu_without_module, "load it (modprobe nvidia), or install the driver and start the machine anew"},
    {true, module_and_library_differ,
     "the driver was updated while its old module stayed loaded: load the new one (start the machine anew), in a container let the runtime "
     "bring the library of the host (CUDA Runtime API: cudaErrorSystemDriverMismatch)"},
    {false, gpu_hidden, "unset it, or name devices in it (0,1); until then runs with \"device\": \"auto\" go to the CPU"},
    {true, gpu_not_usable, "until then runs with \"device\": \"auto\" go to the CPU"},
    {false, gpu_without_cuda, "make CUDA=1 with the CUDA toolkit builds for it"},
    {false, little_shared_memory, "NCCL shares memory between GPUs there: give a container more (docker run --shm-size=1g; NCCL user "
                                  "guide, Troubleshooting)"},
    {false, little_locked_memory,
     "Open MPI and NCCL lock memory for the network and fail or are slow without: ulimit -l unlimited, also for the job system's "
     "daemons (Open MPI FAQ, OpenFabrics: registered memory)"},
    {false, more_threads_than_time,
     "threads wait for one another while the group is stopped for having used its share: set OMP_NUM_THREADS to that number (Linux kernel "
     "documentation, cgroup-v2: cpu.max)"},
    {true, library_not_loaded, "name another file, or none"},
};
enum { N_JUDGES = sizeof JUDGES / sizeof *JUDGES };
_Static_assert(sizeof JUDGES / sizeof *JUDGES <= (size_t)PAIRS_MOST, "Finding out[PAIRS_MOST]");

int pairs_judge(Finding out[PAIRS_MOST], const Facts *f)
{
    char found[PATH_MAX + 1024];
    int n = 0;
    for (const Judge *j = JUDGES; j < JUDGES + N_JUDGES; j++)
        if (j->holds(f, found, sizeof found)) {
            out[n].fatal = j->fatal;
            snprintf(out[n++].text, sizeof out[0].text, "%.1024s: %s", found, j->advice);
        }
    return n;
}
