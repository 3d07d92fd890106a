/* refusing.cc: linked into a program with --wrap, the REFUSE-th request for memory that the program itself makes is refused (each process
 * counts for itself, a forked one goes on from its parent's number). At the end of the first process the number of requests goes to the
 * file REFUSE_COUNT. With REFUSE_TRACE the callers of the refused one are printed, as addr2line reads them. */
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <execinfo.h>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

namespace {

std::atomic<long> requests;
long refused = -1;
pid_t first;

struct Counter {
    Counter()
    {
        const char *n = getenv("REFUSE");
        refused = n ? atol(n) : -1;
        first = getpid();
    }
    ~Counter()
    {
        const char *name = getenv("REFUSE_COUNT");
        FILE *f = name && getpid() == first ? fopen(name, "w") : nullptr;
        if (f) {
            fprintf(f, "%ld\n", requests.load());
            fclose(f);
        }
    }
} counter;

bool refuse()
{
    if (++requests != refused)
        return false;
    if (getenv("REFUSE_TRACE")) {
        void *callers[16];
        backtrace_symbols_fd(callers, backtrace(callers, 16), STDERR_FILENO);
    }
    errno = ENOMEM;
    return true;
}

} // namespace

extern "C" {

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_mmap(void *p, size_t n, int protection, int flags, int fd, off_t offset);
void *__real__Znwm(size_t n);

void *__wrap_calloc(size_t n, size_t size) { return refuse() ? nullptr : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return refuse() ? nullptr : __real_realloc(p, n); }
void *__wrap_mmap(void *p, size_t n, int protection, int flags, int fd, off_t offset)
{
    return refuse() ? MAP_FAILED : __real_mmap(p, n, protection, flags, fd, offset);
}
void *__wrap__Znwm(size_t n)
{
    if (refuse())
        throw std::bad_alloc();
    return __real__Znwm(n);
}
}
