/* mpi.c: a transport that moves bytes by Open MPI, over another one that watches (mpi.h). Called by dist.c.
 *
 * MPI knows networks that sockets are slow on. Meeting, signs of life and small shares stay with the transport below. MPI itself may wait
 * for ever for a rank that has died: every wait here asks again and again, and looks for a verdict in between. MPI_Finalize, which waits
 * for all ranks too, is called when all have done their work; a failed run ends without it. */
#include "train/dist/mpi.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "train/dist/rounds.h"

/* As mpi.h of Open MPI 4 and 5 declares them: handles are pointers to data of the library (ompi_mpi_comm_world …), and 0 stands for a
 * status that is ignored. Results: 0 is success. */
enum { MPI_THREAD_SERIALIZED = 2, VERSION_BYTES = 256, ERROR_BYTES = 256 };
typedef void *Handle;
static struct {
    bool tried, found;
    char version[VERSION_BYTES];
    Handle world, byte, no_request, errors_return;
    int (*Get_library_version)(char *version, int *n);
    int (*Init_thread)(int *argc, char ***argv, int wanted, int *provided);
    int (*Comm_set_errhandler)(Handle comm, Handle handler);
    int (*Comm_rank)(Handle comm, int *rank);
    int (*Comm_size)(Handle comm, int *n_ranks);
    int (*Isend)(const void *from, int n, Handle type, int rank, int tag, Handle comm, Handle *request);
    int (*Irecv)(void *to, int n, Handle type, int rank, int tag, Handle comm, Handle *request);
    int (*Testsome)(int n, Handle *requests, int *n_done, int *done, void *statuses);
    int (*Error_string)(int error, char *text, int *n);
    int (*Finalize)(void);
} mpi;

enum {
    SLOTS = 4, /* pieces on their way in each direction */
    PIECE_BYTES = 256 << 10,
    SMALL_SHARE_BYTES = 64 << 10, /* … of all ranks: goes by the transport below */
    SPINS = 1000, /* of asking before a nap. Who yields instead waits, beside other processes, for a whole slice of time: 10 times slower */
    NAP_US = 1    /* … and what the system adds to that */
};

typedef struct Mpi {
    Transport below;
    Rounds rounds;
    Handle request[2 * SLOTS]; /* sent, then received */
    Span piece[2 * SLOTS];     /* what is sent, filled or added to */
    char *received;            /* [SLOTS, PIECE_BYTES], to be added */
} Mpi;

/* ---------------------------------------------------------------- the library */

static bool find_symbol(void *library, const char *name, void *out)
{
    void *found = dlsym(library, name);
    memcpy(out, &found, sizeof found);
    return found != NULL;
}

static bool find_symbols(void *library)
{
#define FIND(name) find_symbol(library, "MPI_" #name, &mpi.name)
    return find_symbol(library, "ompi_mpi_comm_world", &mpi.world) && find_symbol(library, "ompi_mpi_byte", &mpi.byte) &&
           find_symbol(library, "ompi_request_null", &mpi.no_request) &&
           find_symbol(library, "ompi_mpi_errors_return", &mpi.errors_return) && FIND(Get_library_version) && FIND(Init_thread) &&
           FIND(Comm_set_errhandler) && FIND(Comm_rank) && FIND(Comm_size) && FIND(Isend) && FIND(Irecv) && FIND(Testsome) &&
           FIND(Error_string) && FIND(Finalize);
#undef FIND
}

bool mpi_load(void)
{
    const char *path = getenv("GENLLAVA_MPI");
    int n;
    if (mpi.tried)
        return mpi.found;
    mpi.tried = true;
    /* Its own plugins look for its symbols among those of the program. */
    void *library = path && !strcmp(path, "none") ? NULL : dlopen(path ? path : "libmpi.so.40", RTLD_NOW | RTLD_GLOBAL);
    mpi.found = library && find_symbols(library) && !mpi.Get_library_version(mpi.version, &n);
    mpi.version[strcspn(mpi.version, ",")] = 0; /* "Open MPI v4.1.4, package: …" */
    return mpi.found;
}

const char *mpi_version(void) { return mpi.version; }

/* The others may wait in MPI for this rank. */
static Status check(Mpi *t, int error, const char *what)
{
    char text[ERROR_BYTES] = "", sentence[2 * ERROR_BYTES];
    int n;
    if (!error)
        return OK;
    mpi.Error_string(error, text, &n);
    snprintf(sentence, sizeof sentence, "MPI: %s: %s; GENLLAVA_MPI=none goes without it", what, text);
    return t->below.accuse(t->below.state, sentence);
}

/* ---------------------------------------------------------------- moving bytes */

static Span take_piece(Flow *f)
{
    Span *s = flow_present(f), piece = {s->at, s->n < PIECE_BYTES ? s->n : PIECE_BYTES};
    span_advance(s, piece.n);
    return piece;
}

/* Begins with as many pieces as there are free slots. *busy: whether any is on its way. */
static Status begin_pieces(Mpi *t, int k, Flow *out, Flow *in, bool add, bool *busy)
{
    const int to = rounds_neighbour(&t->rounds, -(1 << k)), from = rounds_neighbour(&t->rounds, 1 << k);
    *busy = false;
    for (int i = 0; i < 2 * SLOTS; i++) {
        const bool sends = i < SLOTS;
        if (t->request[i] == mpi.no_request && flow_present(sends ? out : in)->n) {
            const Span p = t->piece[i] = take_piece(sends ? out : in);
            char *to_memory = add ? t->received + (size_t)(i % SLOTS) * PIECE_BYTES : p.at;
            TRY(check(t,
                      sends ? mpi.Isend(p.at, (int)p.n, mpi.byte, to, 0, mpi.world, &t->request[i])
                            : mpi.Irecv(to_memory, (int)p.n, mpi.byte, from, 0, mpi.world, &t->request[i]),
                      "bytes to or from another rank"));
        }
        *busy = *busy || t->request[i] != mpi.no_request;
    }
    return OK;
}

/* Waits until some of the pieces have come or gone. */
static Status end_pieces(Mpi *t, const DType *add)
{
    int done[2 * SLOTS], n = 0;
    for (int tries = 0; !n; tries++) {
        TRY(check(t, mpi.Testsome(2 * SLOTS, t->request, &n, done, NULL), "bytes on their way"));
        if (!n && tries >= SPINS)
            TRY(t->below.watch(t->below.state, NAP_US));
    }
    for (int i = 0; i < n; i++)
        if (add && done[i] >= SLOTS)
            rounds_add(t->piece[done[i]].at, t->received + (size_t)(done[i] % SLOTS) * PIECE_BYTES, t->piece[done[i]].n, *add);
    return OK;
}

static Status move(void *state, int k, Flow out, Flow in, const DType *add)
{
    Mpi *t = state;
    for (bool busy = true; busy;) {
        TRY(begin_pieces(t, k, &out, &in, add, &busy));
        if (busy)
            TRY(end_pieces(t, add));
    }
    return OK;
}

/* ---------------------------------------------------------------- the transport */

static Status share(void *state, const void *mine, size_t n_bytes, void *all)
{
    Mpi *t = state;
    if (n_bytes * (size_t)t->rounds.n_ranks <= SMALL_SHARE_BYTES)
        return t->below.share(t->below.state, mine, n_bytes, all);
    t->below.enqueued(t->below.state);
    Status s = rounds_share(&t->rounds, mine, n_bytes, all);
    t->below.arrived(t->below.state);
    return s;
}

static Status sum(void *state, void *x, int64_t n, DType type, void *stream)
{
    Mpi *t = state;
    (void)stream; /* of the host */
    t->below.enqueued(t->below.state);
    Status s = rounds_sum(&t->rounds, x, n, type);
    t->below.arrived(t->below.state);
    return s;
}

static void enter(void *state, const char *call, int64_t step, bool patient)
{
    Mpi *t = state;
    t->below.enter(t->below.state, call, step, patient);
}

static void enqueued(void *state)
{
    Mpi *t = state;
    t->below.enqueued(t->below.state);
}

static void arrived(void *state)
{
    Mpi *t = state;
    t->below.arrived(t->below.state);
}

static Status watch(void *state, int64_t us)
{
    Mpi *t = state;
    return t->below.watch(t->below.state, us);
}

static Status accuse(void *state, const char *sentence)
{
    Mpi *t = state;
    return t->below.accuse(t->below.state, sentence);
}

static void close_mpi(void *state, bool failed)
{
    Mpi *t = state;
    int ignored = failed ? 0 : mpi.Finalize();
    (void)ignored;
    t->below.close(t->below.state, failed);
    mem_free(t->received);
    mem_free(t);
}

/* ---------------------------------------------------------------- the beginning */

/* MPI, once it has begun, must know the same ranks. *alike: it does, everywhere. */
static Status compare_ranks(Mpi *t, bool *alike)
{
    int32_t mine[2] = {-1, -1}, *all = mem_alloc((size_t)t->rounds.n_ranks * sizeof mine);
    if (!all)
        return t->below.accuse(t->below.state, "MPI: out of memory");
    *alike = !mpi.Comm_rank(mpi.world, &mine[0]) && !mpi.Comm_size(mpi.world, &mine[1]);
    Status s = t->below.share(t->below.state, mine, sizeof mine, all);
    for (int r = 0; r < t->rounds.n_ranks && s == OK; r++)
        *alike = *alike && all[2 * r] == r && all[2 * r + 1] == t->rounds.n_ranks;
    mem_free(all);
    if (s == OK && mine[1] == 1) /* alone: the others need not agree to its end */
        s = check(t, mpi.Finalize(), "the end");
    return s;
}

static Status begin(Mpi *t, bool *alike)
{
    int provided;
    /* Else a rank reads out of another's memory, which may have died. Copies through shared memory are as fast. */
    setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
    t->below.enter(t->below.state, "the start of MPI", 0, false);
    t->below.enqueued(t->below.state);
    int error = mpi.Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
    t->below.arrived(t->below.state);
    TRY(check(t, error, "the start"));
    TRY(check(t, mpi.Comm_set_errhandler(mpi.world, mpi.errors_return), "the start"));
    return compare_ranks(t, alike);
}

Status mpi_add(Transport *transport, int rank, int n_ranks)
{
    Mpi *t = mem_alloc(sizeof *t);
    char *received = mem_alloc((size_t)SLOTS * PIECE_BYTES);
    bool alike = false;
    Status s = t && received ? OK : transport->accuse(transport->state, "MPI: out of memory");
    if (s == OK) {
        *t = (Mpi){.below = *transport, .received = received};
        t->rounds = (Rounds){.rank = rank, .n_ranks = n_ranks, .state = t, .move = move};
        while (1 << t->rounds.n_links < n_ranks)
            t->rounds.n_links++;
        for (int i = 0; i < 2 * SLOTS; i++)
            t->request[i] = mpi.no_request;
        s = begin(t, &alike);
    }
    if (s != OK || !alike) {
        mem_free(received);
        mem_free(t);
    }
    if (s != OK)
        return s;
    if (!alike) {
        log_warn("%s (libmpi.so.40, or what GENLLAVA_MPI names) is not that of the mpirun that has started the ranks: it is not used",
                 mpi.version);
        return OK;
    }
    log_info("%d ranks sum by %s", n_ranks, mpi.version);
    *transport = (Transport){.state = t,
                             .share = share,
                             .sum = sum,
                             .enter = enter,
                             .enqueued = enqueued,
                             .arrived = arrived,
                             .watch = watch,
                             .accuse = accuse,
                             .close = close_mpi};
    return OK;
}
