/* found.c: the libraries of ranks and devices that this machine has (found.h). Called by train's main for --version, and by doctor. */
#include "train/dist/found.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/cli.h"
#include "kernels/ops/table.h"
#include "train/dist/mpi.h"
#include "train/dist/nccl.h"

/* Linked in where the CUDA toolkit was found; NULL elsewhere. */
__attribute__((weak)) void cuda_name_cudnn(char *out, size_t n);
__attribute__((weak)) void cuda_name_cublas(char *out, size_t n);

static void print_row(FILE *out, const char *name, const char *version) { fprintf(out, "%-*s %s\n", CLI_VERSION_COLUMNS, name, version); }

/* One of its functions, which can be called before it is begun with; NULL: there is no driver. */
static void *find_in_driver(const char *function)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    return library ? dlsym(library, function) : NULL;
}

void found_driver_file(char path[PATH_MAX])
{
    Dl_info where;
    void *found = find_in_driver("cuDriverGetVersion");
    if (!found || !dladdr(found, &where) || !realpath(where.dli_fname, path))
        *path = 0;
}

/* The version of CUDA that it knows. */
static void name_driver(char *out, size_t n)
{
    int version = 0, (*ask)(int *version) = NULL;
    void *found = find_in_driver("cuDriverGetVersion");
    memcpy(&ask, &found, sizeof ask);
    if (ask && !ask(&version))
        snprintf(out, n, "for CUDA %d.%d", version / 1000, version % 1000 / 10);
}

void found_print(FILE *out)
{
    enum { BYTES = 256 };
    static const char NOT_FOUND[BYTES] = "not found";
    char version[4][BYTES];
    print_row(out, "MPI", mpi_load() ? mpi_version() : NOT_FOUND);
    if (!cuda_name_cudnn) {
        print_row(out, "CUDA", "not in this build");
        return;
    }
    for (int i = 0; i < 4; i++)
        memcpy(version[i], NOT_FOUND, BYTES);
    name_driver(version[0], BYTES);
    cuda_name_cudnn(version[1], BYTES);
    cuda_name_cublas(version[3], BYTES);
    if (nccl_load())
        nccl_name(version[2], BYTES);
    print_row(out, "CUDA driver", version[0]);
    print_row(out, "cuBLASLt", version[3]);
    print_row(out, "cuDNN", version[1]);
    print_row(out, "NCCL", version[2]);
}
