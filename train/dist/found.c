/* found.c: the libraries of ranks and devices that this machine has (found.h). Called by train's main for --version. */
#include "train/dist/found.h"

#include <dlfcn.h>
#include <string.h>

#include "kernels/base/cli.h"
#include "kernels/ops/table.h"
#include "train/dist/mpi.h"
#include "train/dist/nccl.h"

/* Linked in where the CUDA toolkit was found; NULL elsewhere. */
__attribute__((weak)) void cuda_name_cudnn(char *out, size_t n);

static void print_row(FILE *out, const char *name, const char *version) { fprintf(out, "%-*s %s\n", CLI_VERSION_COLUMNS, name, version); }

/* The version of CUDA that it knows: it can be asked before it is begun with. */
static void name_driver(char *out, size_t n)
{
    int version = 0, (*ask)(int *version) = NULL;
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL), *found = library ? dlsym(library, "cuDriverGetVersion") : NULL;
    memcpy(&ask, &found, sizeof ask);
    if (ask && !ask(&version))
        snprintf(out, n, "for CUDA %d.%d", version / 1000, version % 1000 / 10);
}

void found_print(FILE *out)
{
    enum { BYTES = 256 };
    static const char NOT_FOUND[BYTES] = "not found";
    char version[3][BYTES];
    print_row(out, "MPI", mpi_load() ? mpi_version() : NOT_FOUND);
    if (!cuda_name_cudnn) {
        print_row(out, "CUDA", "not in this build");
        return;
    }
    for (int i = 0; i < 3; i++)
        memcpy(version[i], NOT_FOUND, BYTES);
    name_driver(version[0], BYTES);
    cuda_name_cudnn(version[1], BYTES);
    if (nccl_load())
        nccl_name(version[2], BYTES);
    print_row(out, "CUDA driver", version[0]);
    print_row(out, "cuDNN", version[1]);
    print_row(out, "NCCL", version[2]);
}
