/* cublas.cu: finding cuBLASLt: where the toolkit of the build lay, else where the system's loader looks. */
#include "kernels/cuda/cublas.cuh"

#include <stdio.h>

#include "kernels/ops/table.h"

#if defined(CUDA_HOST_EMULATION)

Status cublas_load(Cublas *c)
{
#define CUBLAS_TAKE(name) c->name = ::name;
    CUBLAS_LIST(CUBLAS_TAKE)
#undef CUBLAS_TAKE
    return OK;
}

#else
#include <dlfcn.h>

#define CUBLAS_TEXT_(x) #x
#define CUBLAS_TEXT(x) CUBLAS_TEXT_(x)
static const char LIBRARY[] = "libcublasLt.so." CUBLAS_TEXT(CUBLAS_VER_MAJOR);

Status cublas_load(Cublas *c)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", CUDA_LIBRARY_FOLDER, LIBRARY);
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return fail(ERR_DEVICE, "%s: %s; install cuBLAS of CUDA %d, or name its folder in LD_LIBRARY_PATH", LIBRARY, dlerror(),
                    CUBLAS_VER_MAJOR);
#define CUBLAS_FIND(name)                                                     \
    c->name = reinterpret_cast<decltype(&::name)>(dlsym(library, #name));     \
    if (!c->name)                                                             \
        return fail(ERR_DEVICE, "%s has no function %s", LIBRARY, #name);
    CUBLAS_LIST(CUBLAS_FIND)
#undef CUBLAS_FIND
    return OK;
}
#endif

extern "C" void cuda_name_cublas(char *out, size_t n)
{
    Cublas c = {};
    if (cublas_load(&c) != OK)
        return;
    const size_t v = c.cublasLtGetVersion(); /* 130100 is 13.1.0 */
    snprintf(out, n, "%zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
}
