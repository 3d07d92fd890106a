/* The calls of dist.h on one to four ranks: results, and failures that end all alike. */
#include "train/dist/dist.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "kernels/base/log.h"
#include "tests/harness.h"
#include "tests/train/dist/ranks.h"

/* Runs test(d) on n ranks that meet at an address; each opens its place, and the test closes it. */
static void on_ranks_at(const char *address, int n, void (*test)(Dist *d))
{
    int codes[RANKS_MOST];
    if (ranks_start(n, address, codes) >= 0) {
        Dist d;
        log_level(LOG_QUIET);
        REQUIRE_OK(dist_open(&d));
        test(&d);
        test_end();
    }
    for (int r = 0; r < n; r++)
        CHECK_MSG(codes[r] == 0, "%d ranks: rank %d ended with %d", n, r, codes[r]);
}

static void on_ranks(int n, void (*test)(Dist *d)) { on_ranks_at(NULL, n, test); }

/* ---------------------------------------------------------------- results */

static void agree(Dist *d)
{
    int32_t x[] = {d->rank, -d->rank, 7};
    CHECK_OK(dist_agree(d, x, 3));
    CHECK_INT(x[0], d->n_ranks - 1);
    CHECK_INT(x[1], 0);
    CHECK_INT(x[2], 7);
}

static void sum_numbers(Dist *d)
{
    double x[] = {1, d->rank, 0.5};
    CHECK_OK(dist_sum_host(d, x, 3));
    CHECK(x[0] == d->n_ranks && x[1] == d->n_ranks * (d->n_ranks - 1) / 2.0 && x[2] == 0.5 * d->n_ranks);
}

static void sum_memory(Dist *d, Backend *b, DType type)
{
    enum { N = 100003 };
    char *x = mem_alloc(N * dtype_size(type));
    REQUIRE(x);
    for (int i = 0; i < N; i++)
        if (type == F32)
            ((float *)x)[i] = (float)(i + d->rank);
        else
            ((double *)x)[i] = i + d->rank;
    CHECK_OK(dist_sum(d, b, x, N, type));
    int wrong = 0;
    for (int i = 0; i < N; i++) {
        double wanted = (double)i * d->n_ranks + d->n_ranks * (d->n_ranks - 1) / 2.0;
        wrong += (type == F32 ? (double)((float *)x)[i] : ((double *)x)[i]) != wanted; /* whole numbers: exact */
    }
    CHECK_INT(wrong, 0);
    mem_free(x);
}

static void gather(Dist *d)
{
    char mine[16], wanted[64] = "", *all;
    size_t n = (size_t)d->rank * 2, n_all; /* rank 0 has nothing to give */
    memset(mine, 'a' + d->rank, sizeof mine);
    CHECK_OK(dist_gather(d, mine, n, (void **)&all, &n_all));
    for (int r = 0; r < d->n_ranks && d->rank == 0; r++)
        memset(wanted + strlen(wanted), 'a' + r, (size_t)r * 2);
    CHECK_INT(n_all, strlen(wanted));
    CHECK(d->rank > 0 ? !all : !memcmp(all, wanted, n_all));
    mem_free(all);
}

typedef struct Work {
    int done;
    char text[8];
} Work;

static Status do_work(void *arg)
{
    Work *w = arg;
    w->done++;
    memcpy(w->text, "of zero", 8);
    return OK;
}

static void first(Dist *d)
{
    Work w = {0, "mine"};
    CHECK_OK(dist_first(d, do_work, &w, w.text, sizeof w.text));
    CHECK_INT(w.done, d->rank == 0);
    CHECK_STR(w.text, "of zero");
}

static void every_call(Dist *d)
{
    Backend b;
    CHECK_INT(d->rank, getenv("RANK") ? atoi(getenv("RANK")) : 0);
    CHECK_INT(d->local_rank, d->rank);
    REQUIRE_OK(cpu_open(&b));
    for (int round = 0; round < 3; round++) {
        agree(d);
        sum_numbers(d);
        sum_memory(d, &b, F32);
        sum_memory(d, &b, F64);
        gather(d);
        first(d);
    }
    b.close(&b);
    CHECK_OK(dist_close(d, OK));
}

TEST(dist_calls_give_every_rank_its_result)
{
    for (int n = 1; n <= RANKS_MOST; n++)
        on_ranks(n, every_call);
}

/* Not 127.0.0.1, for which sockets inside the machine are taken. */
static const char LOCAL[] = "127.0.0.2";

TEST(dist_calls_give_every_rank_its_result_over_a_network) { on_ranks_at(LOCAL, 3, every_call); }

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A rank waits from when it comes until the last has come (half of that at least, if it is suspended just then), and for no longer than its
 * call takes. */
static void wait_for_one(Dist *d)
{
    int32_t x = 0;
    double came[3] = {0};
    d->waited = 0;
    if (d->rank == 1)
        usleep(500000);
    const double begin = came[d->rank] = seconds_now();
    CHECK_OK(dist_agree(d, &x, 1));
    const double took = seconds_now() - begin, waited = d->waited;
    CHECK_OK(dist_sum_host(d, came, 3));
    const double last = came[0] > came[1] ? (came[0] > came[2] ? came[0] : came[2]) : (came[1] > came[2] ? came[1] : came[2]);
    CHECK_MSG(waited >= (last - begin) / 2 && waited <= took, "rank %d waited %g s: the last came after %g s, its call took %g s", d->rank,
              waited, last - begin, took);
    CHECK_OK(dist_close(d, OK));
}
TEST(dist_counts_the_seconds_of_waiting) { on_ranks(3, wait_for_one); }

/* ---------------------------------------------------------------- memory of a device, through the host */

static Status copy(Backend *b, void *dst, const void *src, size_t n_bytes)
{
    (void)b;
    memcpy(dst, src, n_bytes);
    return OK;
}

static Status refuse(Backend *b, void *dst, const void *src, size_t n_bytes)
{
    (void)b, (void)dst, (void)src;
    return fail(ERR_DEVICE, "%zu bytes do not come", n_bytes);
}

static void through_host(Dist *d)
{
    Backend b = {.upload = copy, .download = copy};
    float x[3] = {1, 2, 3};
    d->joined = true; /* there is no device */
    sum_memory(d, &b, F32);
    if (d->rank == 1) { /* which does not keep the others waiting */
        b.download = refuse;
        CHECK_FAILS(dist_sum(d, &b, x, 3, F32), ERR_DEVICE, "12 bytes do not come");
    } else
        CHECK_OK(dist_sum(d, &b, x, 3, F32));
    CHECK_INT(dist_close(d, d->rank == 1 ? ERR_DEVICE : OK), ERR_DEVICE);
    CHECK_STR(status_message(), "rank 1: 12 bytes do not come");
}

TEST(dist_sum_goes_through_the_host_where_the_transport_knows_no_devices) { on_ranks(3, through_host); }

/* ---------------------------------------------------------------- sums that begin early */

static Status fork_nowhere(Backend *b, void **stream)
{
    *stream = b->stream;
    return OK;
}
/* As on a device: what is sent waits in a queue until all ranks have met. */
static struct Later {
    Transport now;
    void *x[64];
    int64_t count[64];
    int n;
} later;
static Status sum_later(void *state, void *x, int64_t n, DType type, void *stream)
{
    (void)state, (void)type, (void)stream;
    REQUIRE(later.n < 64);
    later.x[later.n] = x;
    later.count[later.n++] = n;
    return OK;
}
static Status join_later(Backend *b)
{
    for (int i = 0; i < later.n; i++)
        CHECK_OK(later.now.sum(later.now.state, later.x[i], later.count[i], F32, b->stream));
    later.n = 0;
    return OK;
}

/* Each rank is as far as it is. */
static void sum_early(Dist *d)
{
    enum { N = 10007, BUCKET = 1000 };
    Backend b = {.host_memory = true, .fork = fork_nowhere, .join = join_later};
    float *x = mem_alloc(N * sizeof *x);
    REQUIRE(x);
    d->bucket = BUCKET;
    later.now = d->transport;
    d->transport.sum = sum_later;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++)
            x[i] = (float)(i + d->rank);
        for (int64_t from = N; from > 0 && d->rank > 0; from -= 700 * d->rank)
            CHECK_OK(dist_sum_early(d, &b, x, N, F32, from));
        CHECK_MSG(d->rank == 0 ? d->sent == 0 : d->sent % BUCKET == 0 && d->sent > N / 2, "rank %d has sent %d", d->rank, (int)d->sent);
        if (round)
            CHECK_OK(dist_sum_early(d, &b, x, N, F32, 0));
        CHECK_OK(dist_sum(d, &b, x, N, F32));
        CHECK_INT(d->sent, 0);
        int wrong = 0;
        for (int i = 0; i < N; i++)
            wrong += (double)x[i] != (double)i * d->n_ranks + d->n_ranks * (d->n_ranks - 1) / 2.0;
        CHECK_INT(wrong, 0);
    }
    d->bucket = 0; /* of no use there: nothing is sent */
    CHECK_OK(dist_sum_early(d, &b, x, N, F32, 0));
    CHECK_INT(d->sent, 0);
    mem_free(x);
    CHECK_OK(dist_close(d, OK));
}
TEST(dist_sum_takes_what_ranks_have_sent_early) { on_ranks(3, sum_early); }

/* ---------------------------------------------------------------- failures */

static Status fail_here(void *arg)
{
    (void)arg;
    return fail(ERR_IO, "the disk is full");
}

static void meet_failure(Dist *d, int call)
{
    static const char SENTENCE[] = "rank 1: picture 7 is damaged";
    int32_t x = 0;
    double y = 0;
    void *all;
    size_t n;
    Backend b = {.host_memory = true};
    Work w = {0, ""};
    if (d->rank == 1) {
        CHECK_INT(dist_close(d, fail(ERR_DATA, "picture 7 is damaged")), ERR_DATA);
        CHECK_STR(status_message(), SENTENCE);
        return;
    }
    switch (call) {
    case 0: CHECK_FAILS(dist_agree(d, &x, 1), ERR_DATA, SENTENCE); break;
    case 1: CHECK_FAILS(dist_sum_host(d, &y, 1), ERR_DATA, SENTENCE); break;
    case 2: CHECK_FAILS(dist_sum(d, &b, &y, 1, F64), ERR_DATA, SENTENCE); break;
    case 3: CHECK_FAILS(dist_gather(d, &x, sizeof x, &all, &n), ERR_DATA, SENTENCE); break;
    case 4: CHECK_FAILS(dist_first(d, do_work, &w, NULL, 0), ERR_DATA, SENTENCE); break;
    default: CHECK_FAILS(dist_close(d, OK), ERR_DATA, SENTENCE); return;
    }
    CHECK_INT(dist_close(d, ERR_DATA), ERR_DATA);
    CHECK_STR(status_message(), SENTENCE);
}

#define MEETS(number) \
    static void meet_failure_##number(Dist *d) { meet_failure(d, number); }
MEETS(0)
MEETS(1)
MEETS(2)
MEETS(3)
MEETS(4)
MEETS(5)

TEST(dist_failure_of_one_rank_ends_all_in_whatever_call_they_are)
{
    void (*const calls[])(Dist * d) = {meet_failure_0, meet_failure_1, meet_failure_2, meet_failure_3, meet_failure_4, meet_failure_5};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        on_ranks(3, calls[i]);
}

static void fail_first(Dist *d)
{
    CHECK_FAILS(dist_first(d, fail_here, NULL, NULL, 0), ERR_IO, "rank 0: the disk is full");
    CHECK_FAILS(dist_close(d, ERR_IO), ERR_IO, "rank 0: the disk is full");
}
TEST(dist_first_fails_for_all) { on_ranks(2, fail_first); }

static void fail_alike(Dist *d) { CHECK_FAILS(dist_close(d, fail(ERR_USAGE, "no such key")), ERR_USAGE, "no such key"); }
TEST(dist_failure_that_all_share_names_no_rank) { on_ranks(3, fail_alike); }

static void fail_apart(Dist *d)
{
    Status s = d->rank == 1 ? fail(ERR_DATA, "one") : d->rank == 2 ? fail(ERR_NOMEM, "two") : OK;
    CHECK_FAILS(dist_close(d, s), ERR_DATA, "rank 1: one");
}
TEST(dist_failures_of_several_ranks_are_that_of_the_first) { on_ranks(3, fail_apart); }

static void lose_the_way(Dist *d)
{
    int32_t x = 0;
    double y = 0;
    CHECK_FAILS(d->rank == 1 ? dist_sum_host(d, &y, 1) : dist_agree(d, &x, 1), ERR_INTERNAL,
                "rank 1 is at call 4 with 8, rank 0 at call 2 with 4");
    CHECK_INT(dist_close(d, ERR_INTERNAL), ERR_INTERNAL);
}
TEST(dist_ranks_at_different_calls_are_a_failure) { on_ranks(2, lose_the_way); }

/* Rank 1 ends once all have opened, before the others have agreed or after. */
static Status agree_without_rank_1(Dist *d)
{
    int32_t x = 0;
    Status s = dist_agree(d, &x, 1);
    if (d->rank == 1)
        _exit(0);
    return s ? s : dist_agree(d, &x, 1);
}

static void end_suddenly(Dist *d)
{
    CHECK_INT(agree_without_rank_1(d), ERR_DEVICE);
    CHECK_MSG(!strncmp(status_message(), "rank 1 has ended", 16), "says %s", status_message());
    CHECK_INT(dist_close(d, ERR_DEVICE), ERR_DEVICE);
}
TEST(dist_calls_fail_where_a_rank_cannot_be_reached) { on_ranks(2, end_suddenly); }

/* Rank 0 waits for the farewell of rank 2, which has heard its own before. */
static void leave_late(Dist *d)
{
    CHECK_INT(agree_without_rank_1(d), ERR_DEVICE);
    if (d->rank == 2)
        usleep(300000);
    const double start = seconds_now();
    CHECK_INT(dist_close(d, ERR_DEVICE), ERR_DEVICE);
    const double seconds = seconds_now() - start;
    CHECK_MSG(seconds < 1.5, "rank %d took leave for %g s", d->rank, seconds);
}
TEST(dist_ranks_take_leave_at_once_after_a_failure) { on_ranks(3, leave_late); }
