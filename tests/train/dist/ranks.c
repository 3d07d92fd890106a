/* ranks.c: the tests' transport. A program that holds it and is started with
 *
 *   TEST_RANKS=N        is N ranks, and ends as all of them end; with 99 when they end differently
 *   TEST_RANKS_PIDS=F   writes their process ids to F, a line each
 *   TEST_RANK_1=N=V     sets the variable N for rank 1 alone (so for the others)
 *
 * A rank that waits for one that has ended, or for more than a minute, fails. */
#include "tests/train/dist/ranks.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "train/dist/dist.h"

enum { SLOT_BYTES = 1 << 16, ENDED_DIFFERENTLY = 99, PATIENCE = 60000000, PAUSE = 100 /* microseconds */ };
static const char MEMORY[] = "TEST_RANKS_MEMORY"; /* variable: number of the shared memory */

typedef struct Shared {
    int n_ranks;
    atomic_int arrived, round;
    atomic_bool ended[RANKS_MOST];
    char slot[RANKS_MOST][SLOT_BYTES];
} Shared;

typedef struct Ranks {
    Shared *shared;
    int rank;
} Ranks;

/* ---------------------------------------------------------------- the transport */

static Status wait_for_all(Ranks *t)
{
    Shared *s = t->shared;
    int round = atomic_load(&s->round);
    if (atomic_fetch_add(&s->arrived, 1) + 1 == s->n_ranks) {
        atomic_store(&s->arrived, 0);
        atomic_fetch_add(&s->round, 1);
        return OK;
    }
    for (int waited = 0; waited < PATIENCE; waited += PAUSE) {
        int gone = -1;
        for (int r = 0; r < s->n_ranks; r++)
            gone = atomic_load(&s->ended[r]) ? r : gone;
        if (atomic_load(&s->round) != round)
            return OK;
        if (gone >= 0)
            return fail(ERR_DEVICE, "rank %d has ended", gone);
        usleep(PAUSE);
    }
    return fail(ERR_DEVICE, "rank %d: others do not come", t->rank);
}

static Status share(void *state, const void *mine, size_t n_bytes, void *all)
{
    Ranks *t = state;
    for (size_t at = 0, n; at < n_bytes; at += n) {
        n = n_bytes - at < SLOT_BYTES ? n_bytes - at : SLOT_BYTES;
        memcpy(t->shared->slot[t->rank], (const char *)mine + at, n);
        TRY(wait_for_all(t));
        for (int r = 0; r < t->shared->n_ranks; r++)
            memcpy((char *)all + (size_t)r * n_bytes + at, t->shared->slot[r], n);
        TRY(wait_for_all(t));
    }
    return OK;
}

static void add(void *x, const void *y, size_t n_bytes, DType type)
{
    for (size_t i = 0; i < n_bytes / dtype_size(type); i++)
        if (type == F64)
            ((double *)x)[i] += ((const double *)y)[i];
        else
            ((float *)x)[i] += ((const float *)y)[i];
}

static Status sum(void *state, void *x, int64_t n_elems, DType type, void *stream)
{
    Ranks *t = state;
    size_t n_bytes = (size_t)n_elems * dtype_size(type);
    (void)stream;
    for (size_t at = 0, n; at < n_bytes; at += n) {
        char *piece = (char *)x + at;
        n = n_bytes - at < SLOT_BYTES ? n_bytes - at : SLOT_BYTES;
        memcpy(t->shared->slot[t->rank], piece, n);
        TRY(wait_for_all(t));
        memcpy(piece, t->shared->slot[0], n);
        for (int r = 1; r < t->shared->n_ranks; r++)
            add(piece, t->shared->slot[r], n, type);
        TRY(wait_for_all(t));
    }
    return OK;
}

static void leave(void *state) { shmdt(((Ranks *)state)->shared); }

Status transport_open(Transport *out, int rank, int n_ranks)
{
    static Ranks t;
    const char *memory = getenv(MEMORY);
    Shared *shared = memory ? shmat(atoi(memory), NULL, 0) : NULL;
    if (!shared || shared == (void *)-1 || shared->n_ranks != n_ranks) /* NOLINT: what shmat returns */
        return fail(ERR_DEVICE, "no %d ranks were started", n_ranks);
    t = (Ranks){shared, rank};
    *out = (Transport){.state = &t, .share = share, .sum = sum, .close = leave};
    return OK;
}

/* ---------------------------------------------------------------- starting */

static void set_number(const char *name, int n)
{
    char text[16];
    snprintf(text, sizeof text, "%d", n);
    setenv(name, text, 1);
}

static void take_place(int rank, int n_ranks, int memory)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    unsetenv("TEST_RANKS");
    set_number("RANK", rank);
    set_number("LOCAL_RANK", rank);
    set_number("WORLD_SIZE", n_ranks);
    set_number(MEMORY, memory);
    setenv("OMP_NUM_THREADS", "1", 0);
    char name[32], *own;
    snprintf(name, sizeof name, "TEST_RANK_%d", rank);
    if ((own = getenv(name)))
        putenv(own);
}

static void write_pids(const pid_t *pid, int n)
{
    const char *path = getenv("TEST_RANKS_PIDS");
    FILE *f = path ? fopen(path, "w") : NULL;
    for (int r = 0; f && r < n; r++)
        fprintf(f, "%d\n", (int)pid[r]);
    if (f)
        fclose(f);
}

int ranks_start(int n, int codes[RANKS_MOST])
{
    pid_t pid[RANKS_MOST];
    int memory = shmget(IPC_PRIVATE, sizeof(Shared), IPC_CREAT | 0600);
    Shared *shared = shmat(memory, NULL, 0);
    shmctl(memory, IPC_RMID, NULL); /* when all have left it */
    if (memory < 0 || n > RANKS_MOST)
        exit(ENDED_DIFFERENTLY);
    shared->n_ranks = n;
    fflush(NULL);
    for (int r = 0; r < n; r++)
        if (!(pid[r] = fork())) {
            shmdt(shared);
            take_place(r, n, memory);
            return r;
        }
    write_pids(pid, n);
    for (int left = n; left > 0; left--) {
        int status, r = 0;
        pid_t ended = wait(&status);
        while (r < n && pid[r] != ended)
            r++;
        codes[r] = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        atomic_store(&shared->ended[r], true);
    }
    shmdt(shared);
    return -1;
}

__attribute__((constructor)) static void start_as_ranks(void)
{
    const char *wanted = getenv("TEST_RANKS");
    int codes[RANKS_MOST], n = wanted ? atoi(wanted) : 0;
    if (n < 1 || ranks_start(n, codes) >= 0)
        return;
    for (int r = 1; r < n; r++)
        if (codes[r] != codes[0]) {
            fprintf(stderr, "rank 0 ended with %d, rank %d with %d\n", codes[0], r, codes[r]);
            _exit(ENDED_DIFFERENTLY);
        }
    _exit(codes[0]);
}
