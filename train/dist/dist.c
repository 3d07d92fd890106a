/* dist.c: the calls of dist.h over the two functions of a transport, of which that of a single rank is here. */
#include "train/dist/dist.h"

#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "kernels/base/processors.h"
#include "train/dist/mpi.h"
#include "train/dist/nccl.h"
#include "train/dist/place.h"

/* ---------------------------------------------------------------- the transport of one rank */

static Status share_alone(void *state, const void *mine, size_t n_bytes, void *all)
{
    (void)state;
    memcpy(all, mine, n_bytes);
    return OK;
}

static Status sum_alone(void *state, void *x, int64_t n, DType type, void *stream)
{
    (void)state, (void)x, (void)n, (void)type, (void)stream;
    return OK;
}

static const Transport ALONE = {.on_device = true, .share = share_alone, .sum = sum_alone};

/* ---------------------------------------------------------------- meeting */

/* What a rank says when it comes to a call. */
typedef enum Call { CALL_END, CALL_FIRST, CALL_AGREE, CALL_SUM, CALL_SUM_HOST, CALL_GATHER, CALL_PLACES } Call;
static const char *const CALL_NAMES[] = {[CALL_END] = "the end",
                                         [CALL_FIRST] = "the work of rank 0",
                                         [CALL_AGREE] = "an agreement",
                                         [CALL_SUM] = "the sum of the gradients",
                                         [CALL_SUM_HOST] = "the sum of the losses",
                                         [CALL_GATHER] = "the gathering of rows",
                                         [CALL_PLACES] = "the start"};
typedef struct Notice {
    int32_t status, call;
    int64_t n;
} Notice;
enum { SENTENCE_BYTES = 8192 };

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static Status exchange(Dist *d, const void *mine, size_t n_bytes, void *all)
{
    const double start = seconds_now();
    Status s = n_bytes ? d->transport.share(d->transport.state, mine, n_bytes, all) : OK;
    d->waited += seconds_now() - start;
    d->over = s != OK;
    return s;
}

/* The first rank that failed ends all. Its number stands before its sentence, unless all say the same. */
static Status pass_on(Dist *d, Status mine)
{
    char sentence[SENTENCE_BYTES] = "", *all = d->notices;
    const Notice *notices = d->notices;
    int failed = 0;
    while (notices[failed].status == OK)
        failed++;
    Status s = (Status)notices[failed].status;
    if (mine != OK)
        snprintf(sentence, sizeof sentence, "%s", status_message());
    TRY(exchange(d, sentence, sizeof sentence, all));
    d->over = d->told = true;
    bool alike = true;
    for (int r = 0; r < d->n_ranks; r++)
        alike = alike && !strcmp(all + (size_t)r * SENTENCE_BYTES, all);
    const char *text = all + (size_t)failed * SENTENCE_BYTES;
    s = fail(s, "%s", text);
    return alike ? s : fail_context(s, "rank %d", failed);
}

/* Every rank says how it is and what it comes for. Fails on all ranks alike, before any of them is waited for. */
static Status meet(Dist *d, Status mine, Call call, int64_t n)
{
    const Notice own = {mine, call, n}, *all = d->notices;
    if (d->transport.enter)
        d->transport.enter(d->transport.state, CALL_NAMES[call], d->step, call == CALL_FIRST);
    TRY(exchange(d, &own, sizeof own, d->notices));
    for (int r = 0; r < d->n_ranks; r++)
        if (all[r].status != OK)
            return pass_on(d, mine);
    for (int r = 1; r < d->n_ranks; r++)
        if (all[r].call != all->call || all[r].n != all->n) {
            d->over = d->told = true;
            return fail(ERR_INTERNAL, "rank %d is at call %d with %lld, rank 0 at call %d with %lld", r, all[r].call, (long long)all[r].n,
                        all->call, (long long)all->n);
        }
    return OK;
}

/* *all: the n bytes of every rank; the caller frees it. `s`: how this rank is. */
static Status share(Dist *d, Status s, Call call, const void *mine, size_t n, void **all)
{
    *all = s == OK ? mem_alloc((size_t)d->n_ranks * n) : NULL;
    if (s == OK && !*all)
        s = fail(ERR_NOMEM, "%zu bytes of each of %d ranks: out of memory", n, d->n_ranks);
    s = meet(d, s, call, (int64_t)n);
    if (s == OK)
        s = exchange(d, mine, n, *all);
    if (s != OK) {
        mem_free(*all);
        *all = NULL;
    }
    return s;
}

/* ---------------------------------------------------------------- the calls */

/* What a rank says of its processors. */
typedef struct Processors {
    char machine[64];
    int64_t threads;     /* that it would have */
    cpu_set_t may_use[]; /* of n_set bytes */
} Processors;

/* Ranks that would have more threads than the processors that they share each get a part of them. */
static Status share_processors(Dist *d, Processors *mine, size_t n_set)
{
    const size_t n_bytes = sizeof *mine + n_set;
    int ranks = 0, threads = 0;
    void *all;
    gethostname(mine->machine, sizeof mine->machine - 1);
    mine->threads = omp_get_max_threads();
    TRY(share(d, OK, CALL_PLACES, mine, n_bytes, &all));
    for (int r = 0; r < d->n_ranks; r++) {
        const Processors *of_rank = (const void *)((const char *)all + (size_t)r * n_bytes);
        if (memcmp(of_rank->machine, mine->machine, sizeof mine->machine))
            continue;
        CPU_OR_S(n_set, mine->may_use, mine->may_use, of_rank->may_use);
        threads += (int)of_rank->threads;
        ranks++;
    }
    mem_free(all);
    int processors = CPU_COUNT_S(n_set, mine->may_use);
    if (processors && threads > processors && !getenv("OMP_NUM_THREADS"))
        omp_set_num_threads(processors > ranks ? processors / ranks : 1);
    return OK;
}

/* A rank that cannot read its set has an empty one. Sets of other machines may be larger. */
static Status divide_processors(Dist *d)
{
    cpu_set_t *set = NULL;
    size_t n_set = 0;
    int32_t most = processors_read(&set, &n_set, sched_getaffinity) == OK ? (int32_t)n_set : (int32_t)sizeof *set;
    Status s = dist_agree(d, &most, 1);
    Processors *mine = s == OK ? mem_alloc(sizeof *mine + (size_t)most) : NULL;
    if (mine) {
        memset(mine, 0, sizeof *mine + (size_t)most);
        if (set)
            memcpy(mine->may_use, set, n_set);
        s = share_processors(d, mine, (size_t)most);
    } else if (s == OK)
        s = fail(ERR_NOMEM, "the processors of the ranks: out of memory");
    mem_free(set);
    mem_free(mine);
    return s;
}

/* Where mpirun has started the ranks, and all of them find its library. */
static Status join_mpi(Dist *d, const Place *place)
{
    const bool found = place->open_mpi && mpi_load();
    int32_t seen[] = {found, !found};
    if (!place->open_mpi)
        return OK;
    TRY(dist_agree(d, seen, 2));
    if (!seen[1])
        return mpi_add(&d->transport, d->rank, d->n_ranks);
    if (seen[0])
        log_warn("some ranks do not find Open MPI (libmpi.so.40, or what GENLLAVA_MPI names): sums over the ranks go over sockets");
    else
        log_info("Open MPI (libmpi.so.40, or what GENLLAVA_MPI names) is not found: sums over the ranks go over sockets");
    return OK;
}

Status dist_open(Dist *d)
{
    Place place;
    *d = (Dist){.n_ranks = 1, .transport = ALONE, .over = true};
    TRY(place_find(&place));
    d->rank = place.rank;
    d->n_ranks = place.n_ranks;
    d->local_rank = place.local_rank;
    d->notices = mem_alloc((size_t)d->n_ranks * SENTENCE_BYTES);
    if (!d->notices)
        return fail(ERR_NOMEM, "%d ranks: out of memory", d->n_ranks);
    if (d->n_ranks > 1)
        TRY(sockets_open(&d->transport, &place));
    d->over = false;
    if (d->rank > 0)
        log_rank(d->rank, LOG_ERROR); /* the rest they would all say alike */
    if (d->n_ranks > 1)
        TRY(join_mpi(d, &place));
    return d->n_ranks > 1 ? divide_processors(d) : OK;
}

Status dist_close(Dist *d, Status s)
{
    if (d->notices && !d->over)
        s = meet(d, s, CALL_END, 0);
    if (d->told && d->rank > 0)
        log_rank(d->rank, LOG_QUIET);
    if (d->transport.close)
        d->transport.close(d->transport.state, s != OK);
    mem_free(d->notices);
    *d = (Dist){0};
    return s;
}

Status dist_first(Dist *d, Status (*work)(void *arg), void *arg, void *result, size_t n_bytes)
{
    void *all;
    TRY(share(d, d->rank == 0 ? work(arg) : OK, CALL_FIRST, result, n_bytes, &all));
    if (n_bytes)
        memcpy(result, all, n_bytes);
    mem_free(all);
    return OK;
}

Status dist_agree(Dist *d, int32_t *x, int n)
{
    void *all;
    TRY(share(d, OK, CALL_AGREE, x, (size_t)n * sizeof *x, &all));
    const int32_t *of_rank = all;
    for (int r = 0; r < d->n_ranks; r++, of_rank += n)
        for (int i = 0; i < n; i++)
            x[i] = of_rank[i] > x[i] ? of_rank[i] : x[i];
    mem_free(all);
    return OK;
}

Status dist_processes(Dist *d, int *n)
{
    int32_t last = d->local_rank;
    TRY(dist_agree(d, &last, 1));
    *n = last + 1;
    return OK;
}

Status dist_sum_host(Dist *d, double *x, int n)
{
    void *all;
    TRY(share(d, OK, CALL_SUM_HOST, x, (size_t)n * sizeof *x, &all));
    const double *of_rank = all;
    memcpy(x, all, (size_t)n * sizeof *x);
    for (int r = 1; r < d->n_ranks; r++)
        for (int i = 0; i < n; i++)
            x[i] += of_rank[r * n + i];
    mem_free(all);
    return OK;
}

enum { PIECE_BYTES = 8 << 20 };

static Status add_ranks(Dist *d, void *x, int64_t n, DType type, void *stream)
{
    const double start = seconds_now();
    Status s = d->transport.sum(d->transport.state, x, n, type, stream);
    d->waited += seconds_now() - start;
    d->over = s != OK;
    return s;
}

/* For a transport that knows no devices. A rank that cannot read its part still comes, so that the others do not wait. */
static Status sum_through_host(Dist *d, Backend *b, char *x, size_t n_bytes, DType type, void *piece)
{
    Status s = OK;
    for (size_t at = 0, n; at < n_bytes; at += n) {
        n = n_bytes - at < PIECE_BYTES ? n_bytes - at : PIECE_BYTES;
        s = s == OK ? b->download(b, piece, x + at, n) : s;
        TRY(add_ranks(d, piece, (int64_t)(n / dtype_size(type)), type, NULL));
        s = s == OK ? b->upload(b, x + at, piece, n) : s;
    }
    return s;
}

/* What rank 0 says about sums between devices. */
typedef struct Joining {
    NcclId id;
    int64_t bucket; /* bytes */
    bool overlaps;
} Joining;

static Status propose(void *joining)
{
    enum { BUCKET_BYTES = 32 << 20, BUCKET_LEAST = 64, BUCKET_MOST = 1 << 30 };
    Joining *j = joining;
    const char *bucket = getenv("GENLLAVA_BUCKET"), *overlap = getenv("GENLLAVA_OVERLAP");
    char *end = NULL;
    *j = (Joining){.bucket = bucket ? strtoll(bucket, &end, 10) : BUCKET_BYTES, .overlaps = !overlap || strcmp(overlap, "0") != 0};
    if ((end && *end) || j->bucket < BUCKET_LEAST || j->bucket > BUCKET_MOST)
        return fail(ERR_USAGE, "GENLLAVA_BUCKET is %s; expected bytes, %d … %d", bucket, (int)BUCKET_LEAST, (int)BUCKET_MOST);
    return nccl_draw_id(&j->id);
}

/* Where all ranks find NCCL. */
static Status join_devices(Dist *d, const Backend *b)
{
    enum { ALIGNED = 64 }; /* bytes, of where buckets begin */
    Joining j;
    const bool found = nccl_load();
    int32_t seen[] = {found, !found};
    d->joined = true;
    TRY(dist_agree(d, seen, 2));
    if (!seen[1]) {
        TRY(dist_first(d, propose, &j, &j, sizeof j));
        d->bucket = b->fork ? j.bucket / ALIGNED * (ALIGNED / (int64_t)sizeof(float)) : 0;
        d->overlaps = d->bucket && j.overlaps;
        return nccl_add(&d->transport, &j.id, d->rank, d->n_ranks);
    }
    if (seen[0])
        log_warn("some ranks do not find NCCL (libnccl.so.2, or what GENLLAVA_NCCL names): sums go through the host");
    else
        log_info("NCCL (libnccl.so.2, or what GENLLAVA_NCCL names) is not found: sums over the ranks go through the host");
    return OK;
}

/* The buckets of x that lie whole in [from, n) and are not yet sent. */
static Status send_buckets(Dist *d, Backend *b, char *x, int64_t n, DType type, int64_t from)
{
    void *stream;
    TRY(b->fork(b, &stream));
    for (int64_t end = n - d->sent, begin; end > 0; end = begin) {
        begin = end > d->bucket ? end - d->bucket : 0;
        if (begin < from)
            break;
        TRY(add_ranks(d, x + (size_t)begin * dtype_size(type), end - begin, type, stream));
        d->sent = n - begin;
    }
    return OK;
}

Status dist_sum_early(Dist *d, Backend *b, void *x, int64_t n, DType type, int64_t from)
{
    const bool some = from == 0 || n - d->sent - from >= d->bucket;
    return d->bucket && some ? send_buckets(d, b, x, n, type, from) : OK;
}

static Status sum_beside(Dist *d, Backend *b, void *x, int64_t n, DType type)
{
    if (d->transport.enqueued) /* from here on others are waited for */
        d->transport.enqueued(d->transport.state);
    if (d->sent < n)
        TRY(send_buckets(d, b, x, n, type, 0));
    d->sent = 0;
    return b->join(b);
}

Status dist_sum(Dist *d, Backend *b, void *x, int64_t n, DType type)
{
    if (!d->joined && d->n_ranks > 1 && !b->host_memory && !d->transport.on_device)
        TRY(join_devices(d, b));
    bool direct = b->host_memory || d->transport.on_device;
    void *piece = direct ? NULL : mem_alloc(PIECE_BYTES);
    Status s = direct || piece ? OK : fail(ERR_NOMEM, "sums over the ranks: out of memory");
    s = meet(d, s, CALL_SUM, n);
    if (s == OK && d->bucket)
        s = sum_beside(d, b, x, n, type);
    else if (s == OK && direct)
        s = add_ranks(d, x, n, type, b->stream);
    else if (s == OK)
        s = sum_through_host(d, b, x, (size_t)n * dtype_size(type), type, piece);
    mem_free(piece);
    return s;
}

/* Moves the ranks' parts together, each of its own length, out of rooms of `room` bytes. Returns the length of all. */
static size_t join_parts(char *parts, const size_t *n, int n_ranks, size_t room)
{
    size_t end = 0;
    for (int r = 0; r < n_ranks; r++) {
        memmove(parts + end, parts + (size_t)r * room, n[r]);
        end += n[r];
    }
    return end;
}

Status dist_gather(Dist *d, const void *mine, size_t n, void **all, size_t *n_all)
{
    void *sizes;
    *all = NULL;
    *n_all = 0;
    TRY(share(d, OK, CALL_GATHER, &n, sizeof n, &sizes));
    const size_t *of_rank = sizes;
    size_t room = 0;
    for (int r = 0; r < d->n_ranks; r++)
        room = of_rank[r] > room ? of_rank[r] : room;
    void *padded = mem_alloc(room);
    if (padded && n)
        memcpy(padded, mine, n);
    Status s = padded ? OK : fail(ERR_NOMEM, "gathering %zu bytes: out of memory", room);
    s = share(d, s, CALL_GATHER, padded, room, all);
    mem_free(padded);
    if (s == OK && d->rank == 0)
        *n_all = join_parts(*all, of_rank, d->n_ranks, room);
    else {
        mem_free(*all);
        *all = NULL;
    }
    mem_free(sizes);
    return s;
}
