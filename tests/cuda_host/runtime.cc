/* The emulated runtime: streams, events, copies, and what can go wrong with them.
 *
 * Work waits in its stream. Every call of the runtime runs a random number of pieces, of any stream whose next piece may run; only a wait
 * makes sure of one. So what relies on an order that no event or wait establishes meets, sooner or later, the other order. Memory of the
 * host that is not pinned is copied at once, with a wait where the real runtime waits.
 *
 * The environment makes a machine to order:
 *   CUDA_HOST_DRIVER=0            no driver (12020: 12.2) CUDA_HOST_CAPABILITY=7.5    an old device
 *   CUDA_VISIBLE_DEVICES=         no device (also -1)    CUDA_LAUNCH_BLOCKING=1      every launch waits for its end
 *   CUDA_HOST_MEMORY=N            bytes of the device    CUDA_HOST_TAKEN=N           of them: others'
 *   CUDA_HOST_DEVICES=N           devices, all alike
 *   CUDA_HOST_FAIL=NAME:N:CODE    the N-th launch of a kernel whose name holds NAME fails with this error of cudaError_t
 *   CUDA_HOST_ERRS=1              arithmetic errs as a device's may
 *   CUDA_HOST_SEED=N              another order of warps and streams
 *   CUDA_HOST_REPORT=FILE         counters at the end of the process, a line each */
#include <cuda_runtime.h>

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <unistd.h>
#include <vector>

namespace {

struct Moment {
    uint64_t recorded = 0, reached = 0;
    std::chrono::steady_clock::time_point when; /* it was reached */
};

struct Piece {
    enum Kind { WORK, RECORD, WAIT, OTHERS } kind;
    std::function<void()> work;
    std::shared_ptr<Moment> moment;
    uint64_t n;
    std::function<bool()> ready; /* of OTHERS */
};

std::map<const char *, size_t> pinned;
std::chrono::nanoseconds spent{0}; /* by work that only says how long it takes */
cudaError_t sticky = cudaSuccess;  /* of a failed kernel: the device does nothing more */
cudaError_t at_launch = cudaSuccess;
uint64_t matching_launches;
int chosen_device;

} // namespace

struct cuda_host_stream {
    std::deque<Piece> pieces;
};
struct cuda_host_event {
    std::shared_ptr<Moment> moment = std::make_shared<Moment>();
};

namespace {

std::vector<cudaStream_t> streams;

bool run_next(cudaStream_t s)
{
    if (s->pieces.empty())
        return false;
    if (s->pieces.front().kind == Piece::WAIT && s->pieces.front().moment->reached < s->pieces.front().n)
        return false;
    if (s->pieces.front().kind == Piece::OTHERS && sticky == cudaSuccess && !s->pieces.front().ready())
        return false;
    Piece p = std::move(s->pieces.front());
    s->pieces.pop_front();
    if (p.kind == Piece::WORK && sticky == cudaSuccess)
        p.work();
    if (p.kind == Piece::RECORD && p.moment->reached < p.n) {
        p.moment->reached = p.n;
        p.moment->when = std::chrono::steady_clock::now() + spent;
    }
    return true;
}

bool run_some_stream()
{
    size_t n = streams.size(), first = n ? cuda_host_random((uint32_t)n) : 0;
    for (size_t i = 0; i < n; i++)
        if (run_next(streams[(first + i) % n]))
            return true;
    return false;
}

/* Nothing can run, but another process may change that: some time has passed then. */
bool wait_for_others()
{
    for (cudaStream_t s : streams)
        if (!s->pieces.empty() && s->pieces.front().kind == Piece::OTHERS) {
            usleep(50);
            return true;
        }
    return false;
}

/* Some time passes. The device is now quick, now slow, and for long stretches does nothing at all. */
void pass_time()
{
    enum { STRETCH = 24, QUICKEST = 5 };
    static uint32_t pace = QUICKEST;
    if (cuda_host_random(STRETCH) == 0)
        pace = cuda_host_random(QUICKEST + 1);
    for (uint32_t i = pace ? cuda_host_random(pace + 1) : 0; i; i--)
        run_some_stream();
}

template <class Done> cudaError_t run_until(Done done)
{
    while (!done())
        if (!run_some_stream() && !wait_for_others()) {
            cuda_host_fault("a wait that nothing can end");
            break;
        }
    return cudaGetLastError();
}

bool is_pinned(const void *p, size_t n)
{
    auto it = pinned.upper_bound((const char *)p);
    return it != pinned.begin() && (--it, (const char *)p + n <= it->first + it->second);
}

bool environment_is(const char *name, const char *value)
{
    const char *v = getenv(name);
    return v && !strcmp(v, value);
}

/* Is this launch the one that CUDA_HOST_FAIL speaks of? */
cudaError_t ordered_failure(const char *kernel)
{
    char name[128];
    unsigned long long n;
    int code;
    const char *order = getenv("CUDA_HOST_FAIL");
    if (!order || !kernel || sscanf(order, "%127[^:]:%llu:%d", name, &n, &code) != 3 || !strstr(kernel, name) || ++matching_launches != n)
        return cudaSuccess;
    return (cudaError_t)code;
}

void report()
{
    FILE *f = fopen(getenv("CUDA_HOST_REPORT"), "w");
    if (!f)
        return;
    CudaHostCounters c = cuda_host_counters();
    fprintf(f, "device %d\n", chosen_device);
    fprintf(f, "launches %llu\nwaits %llu\nallocations %llu\npeak %zu\n", (unsigned long long)c.launches, (unsigned long long)c.waits,
            (unsigned long long)c.allocations, cuda_host_memory_peak());
    fclose(f);
}

} // namespace

void cuda_host_enqueue(cudaStream_t s, const char *name, std::function<void()> work)
{
    cudaError_t failure = ordered_failure(name);
    if (failure == cudaErrorLaunchOutOfResources || failure == cudaErrorMemoryAllocation) { /* found before anything runs */
        at_launch = failure;
        return;
    }
    if (failure != cudaSuccess)
        work = [failure] { sticky = failure; };
    if (!s) {
        cuda_host_fault("%s in the default stream, which waits for none of ours", name ? name : "a copy");
        return;
    }
    s->pieces.push_back({Piece::WORK, std::move(work), nullptr, 0, nullptr});
    if (name && environment_is("CUDA_LAUNCH_BLOCKING", "1"))
        run_until([s] { return s->pieces.empty(); });
    else
        pass_time();
}

void cuda_host_spend(double seconds) { spent += std::chrono::nanoseconds((int64_t)(1e9 * seconds)); }

void cuda_host_enqueue_wait(cudaStream_t s, std::function<bool()> ready)
{
    s->pieces.push_back({Piece::OTHERS, nullptr, nullptr, 0, std::move(ready)});
    pass_time();
}

extern "C" void cuda_host_revive(void)
{
    sticky = at_launch = cudaSuccess;
    matching_launches = 0;
}

extern "C" void cuda_host_settle(void)
{
    while (run_some_stream() || wait_for_others())
        ;
}

/* ---- errors ---- */

const char *cudaGetErrorString(cudaError_t e)
{
    switch (e) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorNotReady: return "device not ready";
    case cudaErrorIllegalAddress: return *cuda_host_error_so_far() ? cuda_host_error_so_far() : "an illegal memory access was encountered";
    case cudaErrorLaunchOutOfResources: return "too many resources requested for launch";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    }
    return "unrecognized error code";
}

cudaError_t cudaPeekAtLastError()
{
    if (sticky == cudaSuccess && *cuda_host_error_so_far())
        return cudaErrorIllegalAddress;
    return sticky != cudaSuccess ? sticky : at_launch;
}

cudaError_t cudaGetLastError()
{
    cudaError_t e = cudaPeekAtLastError();
    at_launch = cudaSuccess;
    return e;
}

/* ---- the device ---- */

cudaError_t cudaRuntimeGetVersion(int *v)
{
    *v = 13000;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *v)
{
    static bool reporting;
    const char *version = getenv("CUDA_HOST_DRIVER"), *memory = getenv("CUDA_HOST_MEMORY"), *seed = getenv("CUDA_HOST_SEED");
    if (seed)
        cuda_host_seed(strtoull(seed, nullptr, 10));
    cuda_host_errs |= environment_is("CUDA_HOST_ERRS", "1");
    if (memory)
        cuda_host_memory_limit(strtoull(memory, nullptr, 10));
    if (getenv("CUDA_HOST_REPORT") && !reporting)
        reporting = !atexit(report);
    *v = version ? atoi(version) : 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    int driver;
    cudaDriverGetVersion(&driver);
    if (driver < CUDART_VERSION)
        return cudaErrorInsufficientDriver;
    const char *devices = getenv("CUDA_HOST_DEVICES");
    const bool visible = !environment_is("CUDA_VISIBLE_DEVICES", "") && !environment_is("CUDA_VISIBLE_DEVICES", "-1");
    *n = !visible ? 0 : devices ? atoi(devices) : 1;
    return *n ? cudaSuccess : cudaErrorNoDevice;
}

int cuda_host_device(void) { return chosen_device; }

cudaError_t cudaSetDevice(int device)
{
    int n;
    cudaError_t e = cudaGetDeviceCount(&n);
    if (e == cudaSuccess && (device < 0 || device >= n))
        e = at_launch = cudaErrorInvalidDevice;
    chosen_device = e == cudaSuccess ? device : chosen_device;
    return e;
}

/* Shared memory that a block may have at most: A100 and Orin; other Ampere and Ada, RTX 50; Hopper and later data-centre devices. */
static size_t shared_limit(int major, int minor)
{
    return (size_t)(major == 8 ? minor == 0 || minor == 7 ? 163 : 99 : major == 12 ? 99 : 227) << 10;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device)
{
    const char *capability = getenv("CUDA_HOST_CAPABILITY"), *visible = getenv("CUDA_VISIBLE_DEVICES");
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "host emulation");
    snprintf(p->uuid.bytes, sizeof p->uuid.bytes, "%s, %d", visible ? visible : "all", device);
    p->major = 8;
    if (capability)
        sscanf(capability, "%d.%d", &p->major, &p->minor);
    p->multiProcessorCount = 2;
    p->totalGlobalMem = cuda_host_memory_size();
    p->sharedMemPerBlockOptin = shared_limit(p->major, p->minor);
    return cudaSuccess;
}

static std::map<const void *, int> allowed_shared;

cudaError_t cuda_host_allow_shared(const void *kernel, int n_bytes)
{
    cudaDeviceProp p;
    cudaGetDeviceProperties(&p, 0);
    if (n_bytes < 0 || (size_t)n_bytes > p.sharedMemPerBlockOptin)
        return at_launch = cudaErrorInvalidValue;
    allowed_shared[kernel] = n_bytes;
    return cudaSuccess;
}

size_t cuda_host_allowed_shared(const void *kernel)
{
    auto it = allowed_shared.find(kernel);
    return it == allowed_shared.end() ? 0 : (size_t)it->second;
}

static size_t taken()
{
    const char *n = getenv("CUDA_HOST_TAKEN");
    return n ? (size_t)strtoull(n, nullptr, 10) : 0;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    size_t used = cuda_host_memory_used() + taken();
    *total = cuda_host_memory_size();
    *free_bytes = *total > used ? *total - used : 0;
    return cudaPeekAtLastError();
}

/* ---- memory ---- */

cudaError_t cudaMalloc(void **p, size_t n)
{
    size_t free_bytes, total;
    cudaError_t e = cudaMemGetInfo(&free_bytes, &total);
    *p = nullptr;
    if (e != cudaSuccess)
        return e;
    *p = n <= free_bytes ? cuda_host_alloc(n) : nullptr;
    cuda_host_counted(false);
    return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}

/* Waits for the device, as the real one does. */
cudaError_t cudaFree(void *p)
{
    if (!p)
        return cudaSuccess;
    cuda_host_settle();
    cuda_host_counted(true);
    return cuda_host_free(p) == 0 ? cudaPeekAtLastError() : cudaErrorInvalidValue;
}

cudaError_t cudaHostAlloc(void **p, size_t n, unsigned)
{
    *p = malloc(n);
    if (!*p)
        return cudaErrorMemoryAllocation;
    pinned[(const char *)*p] = n;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p)
{
    if (!p)
        return cudaSuccess;
    cuda_host_settle();
    pinned.erase((const char *)p);
    free(p);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *d, const void *s, size_t n, cudaMemcpyKind kind, cudaStream_t stream)
{
    bool to_host = kind == cudaMemcpyDeviceToHost, from_host = kind == cudaMemcpyHostToDevice;
    if (cuda_host_owns(d, n) == to_host || cuda_host_owns(s, n) == from_host) {
        cuda_host_fault("a copy of %zu bytes whose ends are not where it says: on the device, on the host", n);
        return cudaErrorInvalidValue;
    }
    if (from_host && !is_pinned(s, n)) {
        std::vector<char> image((const char *)s, (const char *)s + n);
        cuda_host_enqueue(stream, nullptr, [=] { memcpy(d, image.data(), n); });
        return cudaPeekAtLastError();
    }
    cuda_host_enqueue(stream, nullptr, [=] { memcpy(d, s, n); });
    return to_host && !is_pinned(d, n) ? cudaStreamSynchronize(stream) : cudaPeekAtLastError();
}

cudaError_t cudaMemsetAsync(void *d, int v, size_t n, cudaStream_t stream)
{
    if (!cuda_host_owns(d, n)) {
        cuda_host_fault("%zu bytes set at an address that is not the device's", n);
        return cudaErrorInvalidValue;
    }
    cuda_host_enqueue(stream, nullptr, [=] { memset(d, v, n); });
    return cudaPeekAtLastError();
}

/* ---- streams and events ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
    *s = new cuda_host_stream;
    streams.push_back(*s);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    run_until([s] { return s->pieces.empty(); });
    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i] == s)
            streams.erase(streams.begin() + (long)i);
    delete s;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    cuda_host_counted(true);
    return run_until([s] { return !s || s->pieces.empty(); });
}

cudaError_t cudaDeviceSynchronize()
{
    cuda_host_counted(true);
    cuda_host_settle();
    return cudaGetLastError();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned)
{
    *e = new cuda_host_event;
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *e) { return cudaEventCreateWithFlags(e, 0); }

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    for (cudaEvent_t e : {from, to})
        if (e->moment->reached < e->moment->recorded)
            return cudaErrorNotReady;
    *ms = std::chrono::duration<float, std::milli>(to->moment->when - from->moment->when).count();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    delete e;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    s->pieces.push_back({Piece::RECORD, nullptr, e->moment, ++e->moment->recorded, nullptr});
    pass_time();
    return cudaPeekAtLastError();
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
    s->pieces.push_back({Piece::WAIT, nullptr, e->moment, e->moment->recorded, nullptr});
    pass_time();
    return cudaPeekAtLastError();
}

cudaError_t cudaEventQuery(cudaEvent_t e)
{
    pass_time();
    cudaError_t error = cudaPeekAtLastError();
    return error != cudaSuccess ? error : e->moment->reached < e->moment->recorded ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    uint64_t n = e->moment->recorded;
    cuda_host_counted(true);
    return run_until([e, n] { return e->moment->reached >= n; });
}
