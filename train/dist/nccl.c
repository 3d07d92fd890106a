/* nccl.c: a transport whose sums NCCL makes, over another one that shares bytes (nccl.h). Called by dist.c.
 *
 * A rank that dies inside a sum leaves the others waiting for their device for ever: the transport below notices that, and ends them. */
#include "train/dist/nccl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/log.h"

/* As nccl.h of NCCL 2 declares them. Results: 0 is success. */
enum { NCCL_FLOAT32 = 7, NCCL_FLOAT64 = 8, NCCL_SUM = 0 };
typedef struct ncclComm *NcclComm;
static struct {
    bool tried, found;
    int (*GetVersion)(int *version);
    int (*GetUniqueId)(NcclId *id);
    int (*CommInitRank)(NcclComm *comm, int n_ranks, NcclId id, int rank);
    int (*AllReduce)(const void *from, void *to, size_t n, int type, int op, NcclComm comm, void *stream);
    int (*CommGetAsyncError)(NcclComm comm, int *error);
    int (*CommDestroy)(NcclComm comm);
    int (*CommAbort)(NcclComm comm);
    const char *(*GetErrorString)(int error);
} nccl;

typedef struct Nccl {
    Transport below;
    NcclComm comm;
} Nccl;

/* ---------------------------------------------------------------- the library */

static bool find_function(void *library, const char *name, void *out)
{
    void *found = dlsym(library, name);
    memcpy(out, &found, sizeof found);
    return found != NULL;
}

bool nccl_load(void)
{
    const char *path = getenv("GENLLAVA_NCCL");
    if (nccl.tried)
        return nccl.found;
    nccl.tried = true;
    /* The order of a sum: without these it may differ between runs. Read when the library is loaded. */
    setenv("NCCL_ALGO", "Ring", 0);
    setenv("NCCL_PROTO", "Simple", 0);
    setenv("NCCL_NVLS_ENABLE", "0", 0); /* which rings have no use for, and which takes memory all the same */
    void *library = path && !strcmp(path, "none") ? NULL : dlopen(path ? path : "libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
#define FIND(name) find_function(library, "nccl" #name, &nccl.name)
    nccl.found = library && FIND(GetVersion) && FIND(GetUniqueId) && FIND(CommInitRank) && FIND(AllReduce) && FIND(CommGetAsyncError) &&
                 FIND(CommDestroy) && FIND(CommAbort) && FIND(GetErrorString);
#undef FIND
    return nccl.found;
}

void nccl_name(char *out, size_t n)
{
    int version = 0;
    nccl.GetVersion(&version);
    snprintf(out, n, "%d.%d.%d", version / 10000, version / 100 % 100, version % 100);
}

static Status check(int error, const char *what)
{
    return error ? fail(ERR_DEVICE, "NCCL: %s: %s; NCCL_DEBUG=WARN tells more, GENLLAVA_NCCL=none sums through the host", what,
                        nccl.GetErrorString(error))
                 : OK;
}

Status nccl_draw_id(void *id) { return check(nccl.GetUniqueId(id), "an id for the ranks"); }

/* ---------------------------------------------------------------- the transport */

/* The others may wait in NCCL, where no call of ours reaches them. */
static Status end_all(Nccl *t, Status s) { return s == OK ? OK : t->below.accuse(t->below.state, status_message()); }

static Status share(void *state, const void *mine, size_t n_bytes, void *all)
{
    Nccl *t = state;
    int error = 0;
    Status s = check(nccl.CommGetAsyncError(t->comm, &error), "errors of earlier sums");
    if (s == OK)
        s = check(error, "an earlier sum");
    TRY(end_all(t, s));
    return t->below.share(t->below.state, mine, n_bytes, all);
}

static Status sum(void *state, void *x, int64_t n, DType type, void *stream)
{
    Nccl *t = state;
    int error = nccl.AllReduce(x, x, (size_t)n, type == F64 ? NCCL_FLOAT64 : NCCL_FLOAT32, NCCL_SUM, t->comm, stream);
    return end_all(t, check(error, "a sum over the ranks"));
}

static void enter(void *state, const char *call, int64_t step, bool patient)
{
    Nccl *t = state;
    t->below.enter(t->below.state, call, step, patient);
}

static void enqueued(void *state)
{
    Nccl *t = state;
    t->below.enqueued(t->below.state);
}

/* After a failure sums may be on their way that not all ranks have come to. */
static void close_nccl(void *state, bool failed)
{
    Nccl *t = state;
    int ignored = failed ? nccl.CommAbort(t->comm) : nccl.CommDestroy(t->comm);
    (void)ignored;
    t->below.close(t->below.state, failed);
    mem_free(t);
}

Status nccl_add(Transport *transport, const NcclId *id, int rank, int n_ranks)
{
    char version[32];
    Nccl *t = mem_alloc(sizeof *t);
    if (!t)
        return fail(ERR_NOMEM, "NCCL: out of memory");
    *t = (Nccl){.below = *transport};
    t->below.enter(t->below.state, "the start of NCCL", 0, false); /* which waits for all ranks, without an end */
    t->below.enqueued(t->below.state);
    int error = nccl.CommInitRank(&t->comm, n_ranks, *id, rank);
    t->below.arrived(t->below.state);
    Status s = check(error, "joining the ranks");
    if (s != OK) {
        s = end_all(t, s);
        mem_free(t);
        return s;
    }
    nccl_name(version, sizeof version);
    log_info("%d ranks sum by NCCL %s", n_ranks, version);
    *transport = (Transport){
        .state = t, .on_device = true, .share = share, .sum = sum, .enter = enter, .enqueued = enqueued, .close = close_nccl};
    return OK;
}
