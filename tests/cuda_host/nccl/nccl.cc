/* nccl.cc: stands in for NCCL between processes on emulated devices: its signatures, its waiting for ever when a rank has died. A shared
 * library, which train/dist/nccl.c loads when GENLLAVA_NCCL names it.
 *
 *   NCCL_HOST_FAIL=K   the K-th sum of this process fails      NCCL_HOST_LATE=K   … is reported as an error only later
 *   NCCL_HOST_HANG=K   this process never comes to the K-th sum */
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cuda_runtime.h"

namespace {

enum { SLOT_BYTES = 1 << 14, RANKS_MOST = 8, SYSTEM_ERROR = 2 };

struct Shared {
    std::atomic<int> arrived, round;
    char slot[RANKS_MOST][SLOT_BYTES];
};

void wait_for_all(Shared *s, int n_ranks)
{
    int round = s->round;
    if (s->arrived.fetch_add(1) + 1 == n_ranks) {
        s->arrived = 0;
        s->round++;
        return;
    }
    while (s->round == round)
        usleep(100);
}

bool is_time(const char *variable, int n)
{
    const char *text = getenv(variable);
    return text && atoi(text) == n;
}

template <class T> void add_slots(const Shared *s, int n_ranks, T *out, size_t n)
{
    memcpy(out, s->slot[0], n * sizeof(T));
    for (int r = 1; r < n_ranks; r++)
        for (size_t i = 0; i < n; i++)
            out[i] += reinterpret_cast<const T *>(s->slot[r])[i];
}

} // namespace

extern "C" {

struct ncclUniqueId {
    char internal[128];
};
struct ncclComm {
    Shared *shared;
    int rank, n_ranks, sums;
    bool late;
};
typedef ncclComm *ncclComm_t;

int ncclGetVersion(int *version)
{
    *version = 29999;
    return 0;
}

int ncclGetUniqueId(ncclUniqueId *id)
{
    static int ids;
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/nccl-host-%d-%d", static_cast<int>(getpid()), ids++);
    return 0;
}

int ncclCommInitRank(ncclComm_t *comm, int n_ranks, ncclUniqueId id, int rank)
{
    int fd = shm_open(id.internal, O_RDWR | O_CREAT, 0600);
    if (n_ranks > RANKS_MOST || fd < 0 || ftruncate(fd, sizeof(Shared)))
        return SYSTEM_ERROR;
    void *p = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    *comm = new ncclComm{static_cast<Shared *>(p), rank, n_ranks, 0, false};
    wait_for_all((*comm)->shared, n_ranks);
    if (rank == 0)
        shm_unlink(id.internal);
    return 0;
}

/* Order of the stream is kept by waiting for it, before and after. */
int ncclAllReduce(const void *from, void *to, size_t n, int type, int op, ncclComm_t comm, cudaStream_t stream)
{
    const size_t size = type == 8 ? sizeof(double) : sizeof(float), n_bytes = n * size;
    alignas(8) char sum[SLOT_BYTES];
    comm->sums++;
    if (op != 0 || (type != 7 && type != 8) || is_time("NCCL_HOST_FAIL", comm->sums))
        return SYSTEM_ERROR;
    comm->late = comm->late || is_time("NCCL_HOST_LATE", comm->sums);
    while (is_time("NCCL_HOST_HANG", comm->sums))
        sleep(1);
    for (size_t at = 0, k; at < n_bytes; at += k) {
        k = std::min<size_t>(n_bytes - at, SLOT_BYTES);
        cudaMemcpyAsync(comm->shared->slot[comm->rank], static_cast<const char *>(from) + at, k, cudaMemcpyDeviceToHost, stream);
        cudaStreamSynchronize(stream);
        wait_for_all(comm->shared, comm->n_ranks);
        if (type == 8)
            add_slots(comm->shared, comm->n_ranks, reinterpret_cast<double *>(sum), k / size);
        else
            add_slots(comm->shared, comm->n_ranks, reinterpret_cast<float *>(sum), k / size);
        cudaMemcpyAsync(static_cast<char *>(to) + at, sum, k, cudaMemcpyHostToDevice, stream);
        cudaStreamSynchronize(stream);
        wait_for_all(comm->shared, comm->n_ranks);
    }
    return 0;
}

int ncclCommGetAsyncError(ncclComm_t comm, int *error)
{
    *error = comm->late ? SYSTEM_ERROR : 0;
    return 0;
}

int ncclCommAbort(ncclComm_t comm)
{
    munmap(comm->shared, sizeof(Shared));
    delete comm;
    return 0;
}

int ncclCommDestroy(ncclComm_t comm) { return ncclCommAbort(comm); }

const char *ncclGetErrorString(int error) { return error ? "unhandled system error" : "no error"; }
}
