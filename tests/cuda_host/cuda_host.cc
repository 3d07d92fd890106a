/* cuda_host.cc: runs CUDA kernels on the host, a fiber for each thread of a block (cuda_host.h). */
#include "tests/cuda_host/cuda_host.h"

#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <vector>

#include "tests/cuda_host/sanitizer.h"

namespace ctx = boost::context;

__thread CudaHostThread *cuda_host_thread;

namespace {

constexpr size_t STACK_BYTES = 64 << 10, RED_ZONE = 256, SLOT = 64;
constexpr unsigned char POISON = 0xE5, RED = 0xBD; /* 0xE5E5E5E5 is a huge negative float: wrong results, not quiet zeros */

enum class State { READY, AT_BARRIER, AT_WARP, DONE };

struct Fiber {
    CudaHostThread info;
    State state;
    const char *op;      /* of the collective it waits in */
    unsigned generation; /* collectives done; equal in all lanes of a warp, since every collective needs them all */
    ctx::fiber fiber;
    ctx::stack_context stack;
    FiberSwitch sanitizer;
};

/* Two sets of slots: a lane still reading collective g cannot meet anyone who is already writing g+2. */
struct Warp {
    unsigned first;
    unsigned char slots[2][CUDA_HOST_WARP * SLOT];
};

/* Stacks are reused from block to block. */
class StackPool {
  public:
    ~StackPool()
    {
        for (ctx::stack_context &s : free_)
            ctx::fixedsize_stack(STACK_BYTES).deallocate(s);
    }
    ctx::stack_context allocate()
    {
        if (free_.empty())
            return ctx::fixedsize_stack(STACK_BYTES).allocate();
        ctx::stack_context s = free_.back();
        free_.pop_back();
        return s;
    }
    void deallocate(ctx::stack_context &s) { free_.push_back(s); }

  private:
    std::vector<ctx::stack_context> free_;
};

struct PooledStack {
    StackPool *pool;
    ctx::stack_context allocate() { return pool->allocate(); }
    void deallocate(ctx::stack_context &s) { pool->deallocate(s); }
};

struct Block {
    const char *name;
    void (*body)(void *);
    void *arg;
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    unsigned at_barrier, done;
    ctx::fiber scheduler;
    FiberSwitch scheduler_stack;
    Fiber *current;
};

StackPool stacks;
Block *running;
char first_error[512];
CudaHostCounters counters;
uint64_t random_state = 1;
std::map<unsigned char *, size_t> allocations;
size_t memory_limit = (size_t)8 << 30, memory_used, memory_peak;
bool freed; /* an allocation, since an access was looked up */

uint32_t random_below(uint32_t n) { return cuda_host_random(n); }

void yield_to_scheduler()
{
    Block *b = running;
    Fiber *f = b->current;
    counters.switches++;
    b->scheduler_stack.leave_for(&f->sanitizer);
    b->scheduler = std::move(b->scheduler).resume();
    f->sanitizer.arrive();
    cuda_host_thread = &f->info;
}

/* A new fiber for each thread; its stack comes from the pool. */
void start(Block *b, Fiber *f)
{
    f->stack = stacks.allocate();
    ctx::preallocated where(f->stack.sp, f->stack.size, f->stack);
    f->sanitizer.set_stack(f->stack);
    f->fiber = ctx::fiber(std::allocator_arg, where, PooledStack{&stacks}, [b, f](ctx::fiber &&scheduler) {
        b->scheduler = std::move(scheduler);
        f->sanitizer.first_arrival(&b->scheduler_stack);
        b->body(b->arg);
        f->state = State::DONE;
        b->done++;
        b->scheduler_stack.leave_for_good();
        return std::move(b->scheduler);
    });
}

void run_until_blocked(Block *b, Fiber *f)
{
    b->current = f;
    cuda_host_thread = &f->info;
    f->sanitizer.leave_for(&b->scheduler_stack);
    f->fiber = std::move(f->fiber).resume();
    b->scheduler_stack.arrive();
    cuda_host_thread = nullptr;
}

/* The lanes run in a random order: one that reads what another has just written to shared memory needs a __syncwarp between. */
bool run_warp(Block *b, Warp *w)
{
    bool moved = false;
    unsigned first = random_below(CUDA_HOST_WARP), step = 1 + 2 * random_below(CUDA_HOST_WARP / 2);
    for (unsigned i = 0; i < CUDA_HOST_WARP; i++) {
        Fiber *f = &b->fibers[w->first + (first + i * step) % CUDA_HOST_WARP];
        if (f->state == State::READY) {
            run_until_blocked(b, f);
            moved = true;
        }
    }
    return moved;
}

/* Lets the lanes go on that wait in a warp collective, once all have come. */
bool release_warp(Block *b, Warp *w)
{
    Fiber *lane = &b->fibers[w->first];
    for (unsigned i = 0; i < CUDA_HOST_WARP; i++) {
        if (lane[i].state != State::AT_WARP)
            return false;
        if (strcmp(lane[i].op, lane[0].op))
            cuda_host_fault("%s: lanes of one warp meet in %s and in %s", b->name, lane[0].op, lane[i].op);
    }
    for (unsigned i = 0; i < CUDA_HOST_WARP; i++) {
        lane[i].state = State::READY;
        lane[i].generation++;
    }
    return true;
}

void release_barrier(Block *b)
{
    for (Fiber &f : b->fibers)
        f.state = State::READY;
    b->at_barrier = 0;
}

void report_stuck(Block *b)
{
    unsigned lanes = 0;
    const char *op = "";
    for (Fiber &f : b->fibers)
        if (f.state == State::AT_WARP) {
            lanes++;
            op = f.op;
        }
    const uint3 *where = &b->fibers[0].info.block;
    if (b->at_barrier)
        cuda_host_fault("%s, block (%u,%u,%u): %u of %zu threads wait at a barrier, %u have ended", b->name, where->x, where->y, where->z,
                        b->at_barrier, b->fibers.size(), b->done);
    else
        cuda_host_fault("%s, block (%u,%u,%u): %u lanes wait in %s for lanes that never come", b->name, where->x, where->y, where->z, lanes,
                        op);
}

void run_block(Block *b)
{
    unsigned n = (unsigned)b->fibers.size(), n_warps = (unsigned)b->warps.size();
    std::vector<unsigned> order(n_warps);
    while (b->done < n) {
        bool moved = false;
        for (unsigned i = 0; i < n_warps; i++)
            order[i] = i;
        for (unsigned i = n_warps; i > 1; i--)
            std::swap(order[i - 1], order[random_below(i)]);
        for (unsigned i = 0; i < n_warps; i++) {
            Warp *w = &b->warps[order[i]];
            /* A warp runs a random stretch of collectives before another gets its turn. */
            for (unsigned stretch = 1 + random_below(8); stretch && run_warp(b, w); stretch--) {
                moved = true;
                if (!release_warp(b, w))
                    break;
            }
            moved |= release_warp(b, w);
        }
        if (b->at_barrier == n) {
            release_barrier(b);
            moved = true;
        }
        if (!moved) {
            report_stuck(b);
            return; /* the fibers that wait are unwound with the block */
        }
    }
}

void check_red(const unsigned char *p, const char *what, const char *name)
{
    for (size_t i = 0; i < RED_ZONE; i++)
        if (p[i] != RED) {
            cuda_host_fault("%s: something wrote %zu bytes %s", name, i, what);
            return;
        }
}

void prepare_threads(Block *b, uint3 block, dim3 grid, dim3 dim, unsigned char *shared, size_t shared_bytes)
{
    for (unsigned i = 0; i < b->fibers.size(); i++) {
        Fiber *f = &b->fibers[i];
        uint3 t = {i % dim.x, i / dim.x % dim.y, i / (dim.x * dim.y)};
        f->info = {t, block, dim, grid, i, i % CUDA_HOST_WARP, i / CUDA_HOST_WARP, shared, shared_bytes};
        f->state = State::READY;
        f->generation = 0;
    }
    b->at_barrier = b->done = 0;
}

} // namespace

bool cuda_host_errs;

#define WITHOUT_SANITIZERS __attribute__((no_sanitize("address", "undefined"))) /* what follows is most of what attention costs */

WITHOUT_SANITIZERS static float rounded_once(float c, const float *x, const float *y, int64_t n)
{
    double sum = c;
    for (int64_t k = 0; k < n; k++)
        sum += (double)x[k] * (double)y[k];
    return (float)sum;
}

float cuda_host_dot(const float *x, const float *y, int64_t n)
{
    if (!cuda_host_errs)
        return rounded_once(0, x, y, n);
    float sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum = fmaf(x[k], y[k], sum);
    return sum;
}

/* Of up to eight products; every term is a whole number of the last bit's worth. */
WITHOUT_SANITIZERS static float tensor_core_step(float c, const float *x, const float *y, int n)
{
    enum { MANTISSA = 52, BIAS = 1023, NOT_FINITE = 0x7ff, KEPT = 24 };
    double term[9] = {c}, last_bit, per_last_bit, sum = c;
    uint64_t bits, exponent = 0;
    for (int i = 0; i < n; i++)
        sum += term[i + 1] = (double)x[i] * (double)y[i];
    for (int i = 0; i <= n; i++) {
        memcpy(&bits, &term[i], sizeof bits);
        exponent = std::max(exponent, bits >> MANTISSA & NOT_FINITE);
    }
    if (exponent == 0 || exponent == NOT_FINITE)
        return (float)sum;
    bits = (exponent - KEPT) << MANTISSA;
    memcpy(&last_bit, &bits, sizeof bits);
    bits = (2 * BIAS + KEPT - exponent) << MANTISSA;
    memcpy(&per_last_bit, &bits, sizeof bits);
    int64_t total = 0;
    for (int i = 0; i <= n; i++)
        total += (int64_t)(term[i] * per_last_bit);
    sum = (double)total * last_bit;
    float nearest = (float)sum;
    return std::abs((double)nearest) > std::abs(sum) ? std::nextafter(nearest, 0.0f) : nearest;
}

WITHOUT_SANITIZERS float cuda_host_tensor_core(float c, const float *x, const float *y, int64_t n)
{
    enum { STEP = 8 };
    if (!cuda_host_errs)
        return rounded_once(c, x, y, n);
    for (int64_t k = 0; k < n; k += STEP)
        c = tensor_core_step(c, x + k, y + k, (int)std::min(n - k, (int64_t)STEP));
    return c;
}

/* Register r of a lane holds two neighbours along k, the lower one first. */
WITHOUT_SANITIZERS static void unpack_pair(float out[2], const unsigned char *all, int lane, int r)
{
    uint32_t pair, low, high;
    memcpy(&pair, all + SLOT * (size_t)lane + 4 * (size_t)r, sizeof pair);
    low = pair << 16;
    high = pair & 0xffff0000u;
    memcpy(&out[0], &low, sizeof low);
    memcpy(&out[1], &high, sizeof high);
}

WITHOUT_SANITIZERS void cuda_host_mma(float c[4], const unsigned char *all, int lane)
{
    enum { DEPTH = 16 };
    float rows[2][DEPTH], columns[2][DEPTH];
    int g = lane / 4, q = 2 * (lane % 4);
    for (int p = 0; p < DEPTH / 2; p++) /* k = 2p, 2p+1 */
        for (int i = 0; i < 2; i++) {
            unpack_pair(&rows[i][2 * p], all, g * 4 + p % 4, i + 2 * (p / 4));
            unpack_pair(&columns[i][2 * p], all, (q + i) * 4 + p % 4, 4 + p / 4);
        }
    for (int i = 0; i < 4; i++)
        c[i] = cuda_host_tensor_core(c[i], rows[i / 2], columns[i % 2], DEPTH);
}

uint32_t cuda_host_random(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(((random_state >> 32) * n) >> 32);
}

void cuda_host_counted(bool wait) { (wait ? counters.waits : counters.allocations)++; }

bool cuda_host_owns(const void *p, size_t n)
{
    auto it = allocations.upper_bound((unsigned char *)(uintptr_t)p);
    if (it == allocations.begin())
        return false;
    --it;
    const unsigned char *first = it->first + RED_ZONE;
    return (const unsigned char *)p >= first && (const unsigned char *)p + n <= first + it->second;
}

void cuda_host_fault(const char *format, ...)
{
    if (*first_error)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(first_error, sizeof first_error, format, args);
    va_end(args);
}

namespace {

bool launch_is_legal(const char *name, dim3 grid, dim3 dim, size_t shared_bytes, size_t allowed, bool flat)
{
    const size_t always = 48 << 10; /* shared memory that a kernel has without asking */
    size_t n = (size_t)dim.x * dim.y * dim.z;
    bool whole_warps = flat || n % CUDA_HOST_WARP == 0; /* our kernels' collectives always take the whole warp */
    if (n && n <= 1024 && whole_warps && grid.x && grid.x <= INT32_MAX && grid.y && grid.z && grid.y <= 65535 && grid.z <= 65535 &&
        shared_bytes <= std::max(allowed, always))
        return true;
    cuda_host_fault("%s: launched with grid (%u,%u,%u), block (%u,%u,%u), %zu bytes of shared memory", name, grid.x, grid.y, grid.z, dim.x,
                    dim.y, dim.z, shared_bytes);
    return false;
}

/* Such that all of 0 … n-1 are met in n strides. */
uint64_t stride_over(uint64_t n)
{
    uint64_t step = 1 + random_below(1000);
    while (std::gcd(step, n) != 1)
        step++;
    return step;
}

void run_flat(Block *b)
{
    for (Fiber &f : b->fibers) {
        cuda_host_thread = &f.info;
        b->body(b->arg);
    }
    cuda_host_thread = nullptr;
}

void run_fibers(Block *b)
{
    for (Fiber &f : b->fibers)
        start(b, &f);
    run_block(b);
    for (Fiber &f : b->fibers)
        f.fiber = ctx::fiber(); /* unwinds what still waits after an error */
    b->current = nullptr;
}

} // namespace

void cuda_host_launch(const char *name, dim3 grid, dim3 dim, size_t shared_bytes, size_t allowed, bool flat, void (*body)(void *),
                      void *arg)
{
    counters.launches++;
    if (!launch_is_legal(name, grid, dim, shared_bytes, allowed, flat))
        return;
    std::vector<unsigned char> memory(shared_bytes + 2 * RED_ZONE + 128);
    unsigned char *shared = (unsigned char *)(((uintptr_t)memory.data() + RED_ZONE + 127) & ~(uintptr_t)127);
    Block b = {};
    b.name = name;
    b.body = body;
    b.arg = arg;
    b.fibers = std::vector<Fiber>((size_t)dim.x * dim.y * dim.z);
    b.warps.resize(b.fibers.size() / CUDA_HOST_WARP);
    for (unsigned i = 0; i < b.warps.size(); i++)
        b.warps[i].first = i * CUDA_HOST_WARP;
    running = &b;
    uint64_t n = (uint64_t)grid.x * grid.y * grid.z;
    uint64_t first = cuda_host_random((uint32_t)std::min(n, (uint64_t)UINT32_MAX)), step = stride_over(n); /* blocks come in any order */
    for (uint64_t i = 0; i < n && !*first_error; i++) {
        uint64_t at = (first + i * step) % n;
        uint3 block = {(unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y), (unsigned)(at / grid.x / grid.y)};
        counters.blocks++;
        memset(shared - RED_ZONE, RED, RED_ZONE);
        memset(shared, POISON, shared_bytes);
        memset(shared + shared_bytes, RED, RED_ZONE);
        prepare_threads(&b, block, grid, dim, shared, shared_bytes);
        if (flat)
            run_flat(&b);
        else
            run_fibers(&b);
        check_red(shared - RED_ZONE, "into the red zone before shared memory", name);
        check_red(shared + shared_bytes, "beyond the end of shared memory", name);
    }
    running = nullptr;
    cuda_host_verify_memory();
}

void cuda_host_syncthreads()
{
    Fiber *f = running->current;
    if (!f) {
        cuda_host_fault("%s: a barrier in a kernel launched as flat", running->name);
        return;
    }
    f->state = State::AT_BARRIER;
    running->at_barrier++;
    yield_to_scheduler();
}

const unsigned char *cuda_host_exchange(const char *op, unsigned mask, const void *mine, size_t n)
{
    static unsigned char nothing[CUDA_HOST_WARP * SLOT];
    Fiber *f = running->current;
    if (!f || mask != 0xffffffffu || n > SLOT) {
        cuda_host_fault("%s: %s with mask %08x and %zu bytes%s", running->name, op, mask, n, f ? "" : " in a kernel launched as flat");
        return nothing;
    }
    unsigned char *slots = running->warps[f->info.warp].slots[f->generation & 1];
    memcpy(slots + f->info.lane * SLOT, mine, n);
    f->op = op;
    f->state = State::AT_WARP;
    yield_to_scheduler();
    return slots;
}

void cuda_host_syncwarp(unsigned mask)
{
    char nothing = 0;
    cuda_host_exchange("syncwarp", mask, &nothing, 0);
}

WITHOUT_SANITIZERS void cuda_host_access(const void *p, size_t n, size_t alignment, bool write)
{
    static const char *first, *end; /* the allocation that was accessed last */
    const char *at = (const char *)p;
    (write ? counters.bytes_written : counters.bytes_read) += n;
    counters.accesses++;
    if (at < first || at + n > end || freed) {
        freed = false;
        first = end = nullptr;
        if (!cuda_host_owns(p, n)) {
            cuda_host_fault("%s: an access of %zu bytes at an address that is not the device's", running->name, n);
            return;
        }
        auto it = std::prev(allocations.upper_bound((unsigned char *)(uintptr_t)p));
        first = (const char *)it->first + RED_ZONE;
        end = first + it->second;
    }
    if ((uintptr_t)p % alignment)
        cuda_host_fault("%s: an access of %zu bytes at an address that is not a multiple of %zu", running->name, n, alignment);
}

bool cuda_host_check_shared(const void *p, size_t n)
{
    const unsigned char *begin = cuda_host_thread->shared, *at = (const unsigned char *)p;
    if (at >= begin && at + n <= begin + cuda_host_thread->shared_bytes && (uintptr_t)p % n == 0)
        return true;
    cuda_host_fault("%s: an access of %zu bytes at %ld of shared memory", running->name, n, (long)(at - begin));
    return false;
}

extern "C" {

void cuda_host_seed(uint64_t seed) { random_state = seed * 2 + 1; }
const char *cuda_host_error_so_far(void) { return first_error; }
const char *cuda_host_error(void)
{
    cuda_host_settle();
    return first_error;
}
struct CudaHostCounters cuda_host_counters(void)
{
    cuda_host_settle();
    return counters;
}
void cuda_host_memory_limit(size_t n_bytes) { memory_limit = n_bytes; }
size_t cuda_host_memory_size(void) { return memory_limit; }
size_t cuda_host_memory_used(void) { return memory_used; }
size_t cuda_host_memory_peak(void) { return memory_peak; }

void cuda_host_clear(void)
{
    cuda_host_settle();
    cuda_host_revive();
    *first_error = 0;
    counters = CudaHostCounters();
}

void *cuda_host_alloc(size_t n)
{
    if (n > memory_limit || memory_used > memory_limit - n)
        return nullptr;
    unsigned char *p = (unsigned char *)aligned_alloc(256, (n + 2 * RED_ZONE + 255) & ~(size_t)255);
    if (!p)
        return nullptr;
    memset(p, RED, RED_ZONE);
    memset(p + RED_ZONE, POISON, n);
    memset(p + RED_ZONE + n, RED, RED_ZONE);
    sanitizer_forbid(p, RED_ZONE);
    sanitizer_forbid(p + RED_ZONE + n, RED_ZONE);
    allocations[p] = n;
    memory_used += n;
    memory_peak = memory_used > memory_peak ? memory_used : memory_peak;
    return p + RED_ZONE;
}

int cuda_host_free(void *q)
{
    auto it = allocations.find((unsigned char *)q - RED_ZONE);
    if (it == allocations.end())
        return 1;
    unsigned char *p = it->first;
    size_t n = it->second;
    sanitizer_allow(p, n + 2 * RED_ZONE);
    check_red(p, "into the red zone before device memory", "free");
    check_red(p + RED_ZONE + n, "beyond the end of device memory", "free");
    memory_used -= n;
    freed = true;
    allocations.erase(it);
    free(p);
    return 0;
}

void cuda_host_verify_memory(void)
{
    for (auto &a : allocations) {
        sanitizer_allow(a.first, RED_ZONE);
        sanitizer_allow(a.first + RED_ZONE + a.second, RED_ZONE);
        check_red(a.first, "into the red zone before device memory", "device memory");
        check_red(a.first + RED_ZONE + a.second, "beyond the end of device memory", "device memory");
        sanitizer_forbid(a.first, RED_ZONE);
        sanitizer_forbid(a.first + RED_ZONE + a.second, RED_ZONE);
    }
}
}
