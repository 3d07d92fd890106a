/* nccl.cc: stands in for NCCL between processes on emulated devices: its signatures, its asynchrony, its waiting for ever when a rank has
 * died. A shared library, which train/dist/nccl.c loads when GENLLAVA_NCCL names it.
 *
 *   NCCL_HOST_FAIL=K   the K-th sum of this process fails      NCCL_HOST_LATE=K    … is reported as an error only later
 *   NCCL_HOST_HANG=K   this process's K-th sum never begins    NCCL_HOST_DELAY=MS  all of its sums begin so much later
 *   NCCL_HOST_HANG=0   … it never joins the others
 *   NCCL_HOST_DIE=K    this process is killed within its K-th sum, when others wait for it
 *   NCCL_HOST_TRACE=F  a line in the file F for each sum that the host asks for: its elements */
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <sys/mman.h>
#include <unistd.h>

#include "cuda_runtime.h"

namespace {

enum { SLOT_BYTES = 1 << 14, RANKS_MOST = 8, SYSTEM_ERROR = 2, INVALID_USAGE = 5, BUFFER_BYTES = 1 << 20 };

struct Shared {
    std::atomic<int> arrived, round;
    char slot[RANKS_MOST][SLOT_BYTES];
};

/* Returns the round that the rank has come to; it waits for the next one. */
int arrive(Shared *s, int n_ranks)
{
    int round = s->round;
    if (s->arrived.fetch_add(1) + 1 == n_ranks) {
        s->arrived = 0;
        s->round++;
    }
    return round;
}

int number(const char *variable)
{
    const char *text = getenv(variable);
    return text ? atoi(text) : -1;
}

bool is_time(const char *variable, int n) { return number(variable) == n; }

template <class T> void add_slots(const Shared *s, int n_ranks, void *to, size_t n)
{
    T *out = static_cast<T *>(to);
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
    int rank, n_ranks, sums, round;
    bool late, aborted;
    cudaStream_t stream; /* of the first sum, and so of all: NCCL would order them itself */
    void *buffer;        /* of the device: what the first sum takes */
};
typedef ncclComm *ncclComm_t;

int ncclGetVersion(int *version)
{
    *version = 29999;
    return 0;
}

/* Memory of this process, which the others find among its open files: none outlives the ranks, however they end. */
int ncclGetUniqueId(ncclUniqueId *id)
{
    int fd = memfd_create("nccl-host", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, sizeof(Shared)))
        return SYSTEM_ERROR;
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/proc/%d/fd/%d", static_cast<int>(getpid()), fd);
    return 0;
}

int ncclCommInitRank(ncclComm_t *comm, int n_ranks, ncclUniqueId id, int rank)
{
    while (is_time("NCCL_HOST_HANG", 0))
        usleep(100000);
    int fd = open(id.internal, O_RDWR | O_CLOEXEC);
    if (n_ranks > RANKS_MOST || fd < 0)
        return SYSTEM_ERROR;
    void *p = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    *comm = new ncclComm{static_cast<Shared *>(p), rank, n_ranks, 0, 0, false, false, nullptr, nullptr};
    for (int round = arrive((*comm)->shared, n_ranks); (*comm)->shared->round == round;)
        usleep(100);
    return 0;
}

/* Work of the stream that ends once all ranks have done it. */
static void together(ncclComm_t comm, cudaStream_t stream, std::function<void()> work)
{
    cuda_host_enqueue(stream, nullptr, [=] {
        if (comm->aborted)
            return;
        work();
        comm->round = arrive(comm->shared, comm->n_ranks);
    });
    cuda_host_enqueue_wait(stream, [=] { return comm->aborted || comm->shared->round != comm->round; });
}

static void delay(ncclComm_t comm, cudaStream_t stream)
{
    if (is_time("NCCL_HOST_HANG", comm->sums))
        cuda_host_enqueue_wait(stream, [=] { return comm->aborted; });
    if (is_time("NCCL_HOST_DIE", comm->sums))
        cuda_host_enqueue(stream, nullptr, [] { raise(SIGKILL); });
    const int ms = number("NCCL_HOST_DELAY");
    auto end = std::make_shared<std::chrono::steady_clock::time_point>();
    if (ms <= 0)
        return;
    cuda_host_enqueue(stream, nullptr, [=] { *end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms); });
    cuda_host_enqueue_wait(stream, [=] { return comm->aborted || std::chrono::steady_clock::now() >= *end; });
}

static void trace(size_t n)
{
    const char *path = getenv("NCCL_HOST_TRACE");
    FILE *f = path ? fopen(path, "a") : nullptr;
    if (f) {
        fprintf(f, "%zu\n", n);
        fclose(f);
    }
}

int ncclAllReduce(const void *from, void *to, size_t n, int type, int op, ncclComm_t comm, cudaStream_t stream)
{
    const size_t size = type == 8 ? sizeof(double) : sizeof(float), n_bytes = n * size;
    comm->sums++;
    trace(n);
    if (op != 0 || (type != 7 && type != 8) || is_time("NCCL_HOST_FAIL", comm->sums))
        return SYSTEM_ERROR;
    if (comm->stream && stream != comm->stream)
        return INVALID_USAGE;
    if (!comm->buffer && cudaMalloc(&comm->buffer, BUFFER_BYTES) != cudaSuccess)
        return SYSTEM_ERROR;
    comm->stream = stream;
    comm->late = comm->late || is_time("NCCL_HOST_LATE", comm->sums);
    delay(comm, stream);
    for (size_t at = 0; at < n_bytes; at += SLOT_BYTES) {
        const size_t k = std::min<size_t>(n_bytes - at, SLOT_BYTES);
        const char *mine = static_cast<const char *>(from) + at;
        char *sum = static_cast<char *>(to) + at;
        together(comm, stream, [=] { memcpy(comm->shared->slot[comm->rank], mine, k); });
        together(comm, stream, [=] { (type == 8 ? add_slots<double> : add_slots<float>)(comm->shared, comm->n_ranks, sum, k / size); });
    }
    return 0;
}

int ncclCommGetAsyncError(ncclComm_t comm, int *error)
{
    *error = comm->late ? SYSTEM_ERROR : 0;
    return 0;
}

/* What is still in the stream finds the communicator. */
int ncclCommAbort(ncclComm_t comm)
{
    comm->aborted = true;
    cudaFree(comm->buffer);
    return 0;
}

int ncclCommDestroy(ncclComm_t comm)
{
    cudaFree(comm->buffer);
    munmap(comm->shared, sizeof(Shared));
    delete comm;
    return 0;
}

const char *ncclGetErrorString(int error) { return error ? "unhandled system error" : "no error"; }
}
