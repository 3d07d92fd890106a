/* sockets.c: a transport of ranks over sockets, inside a machine and between machines (transport.h). Called by dist.c.
 *
 * Bytes go from rank r + 2^k to rank r. What all share goes round in steps that double what a rank has (Bruck et al. 1997): log2 n_ranks
 * steps. Sums go round a ring (Patarasu and Yuan 2009): each part of x is added up by rank after rank, then passed on by rank after rank;
 * each rank sends 2 (n_ranks - 1) / n_ranks of x, whatever their number, and the order of every sum is fixed by its place in x. */
#include "train/dist/transport.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "kernels/base/arena.h"
#include "train/dist/meeting.h"
#include "train/dist/pulse.h"

enum { PIECE_BYTES = 256 << 10, POLL_MS = 1000, VERDICT_MS = 5000 };

typedef struct Sockets {
    Place place;
    Meeting links;
    Pulse *pulse;
    char *piece; /* received, to be added */
} Sockets;

/* Bytes still to be sent or filled, in two places one after the other. */
typedef struct Span {
    char *at;
    size_t n;
} Span;
typedef struct Flow {
    Span part[2];
} Flow;

static Span *present(Flow *f) { return f->part[0].n ? &f->part[0] : &f->part[1]; }

static void advance(Span *s, size_t n)
{
    s->at += n;
    s->n -= n;
}

/* ---------------------------------------------------------------- one connection out, one in */

/* What happened to the rank, rank 0 finds out. */
static Status lose(Sockets *t, int peer)
{
    char sentence[128];
    struct pollfd p = {.fd = pulse_fd(t->pulse), .events = POLLIN};
    while (poll(&p, 1, VERDICT_MS) < 0 && errno == EINTR)
        ;
    TRY(pulse_verdict(t->pulse));
    snprintf(sentence, sizeof sentence, "the connection between ranks %d and %d is broken", t->place.rank, peer);
    return pulse_accuse(t->pulse, sentence);
}

static int neighbour(const Sockets *t, int offset) { return (t->place.rank + offset + t->place.n_ranks) % t->place.n_ranks; }

static bool is_later(ssize_t n) { return n < 0 && (errno == EAGAIN || errno == EINTR); }

static Status send_some(Sockets *t, int k, Flow *out)
{
    Span *s = present(out);
    ssize_t n = send(t->links.to[k], s->at, s->n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && !is_later(n))
        return lose(t, neighbour(t, -(1 << k)));
    advance(s, n > 0 ? (size_t)n : 0);
    return OK;
}

static void add_to(char *x, const char *y, size_t n_bytes, DType type)
{
    const size_t n = n_bytes / dtype_size(type);
    if (type == F64) {
        double *sum = (double *)(void *)x;
        for (size_t i = 0; i < n; i++)
            sum[i] += ((const double *)(const void *)y)[i];
    } else {
        float *sum = (float *)(void *)x;
        for (size_t i = 0; i < n; i++)
            sum[i] += ((const float *)(const void *)y)[i];
    }
}

/* Added: whole numbers alone; the bytes of one that has not come whole are kept at the front of the piece (*kept of them). */
static Status receive_some(Sockets *t, int k, Flow *in, const DType *add, size_t *kept)
{
    Span *s = present(in);
    char *to = add ? t->piece + *kept : s->at;
    size_t room = add ? (s->n < PIECE_BYTES ? s->n : PIECE_BYTES) - *kept : s->n;
    ssize_t n = recv(t->links.from[k], to, room, MSG_DONTWAIT);
    if (is_later(n))
        return OK;
    if (n <= 0)
        return lose(t, neighbour(t, 1 << k));
    if (!add) {
        advance(s, (size_t)n);
        return OK;
    }
    size_t there = *kept + (size_t)n, whole = there - there % dtype_size(*add);
    add_to(s->at, t->piece, whole, *add);
    advance(s, whole);
    *kept = there - whole;
    memmove(t->piece, t->piece + whole, *kept);
    return OK;
}

/* Sends `out` to rank r - 2^k while `in` comes from rank r + 2^k, over what stands there or (add) added to it. */
static Status move(Sockets *t, int k, Flow out, Flow in, const DType *add)
{
    size_t kept = 0;
    while (present(&out)->n || present(&in)->n) {
        struct pollfd p[] = {{.fd = present(&in)->n ? t->links.from[k] : -1, .events = POLLIN},
                             {.fd = present(&out)->n ? t->links.to[k] : -1, .events = POLLOUT},
                             {.fd = pulse_fd(t->pulse), .events = POLLIN}};
        if (poll(p, 3, POLL_MS) <= 0)
            continue; /* a signal, or nothing yet */
        if (p[0].revents)
            TRY(receive_some(t, k, &in, add, &kept));
        if (p[1].revents)
            TRY(send_some(t, k, &out));
        if (p[2].revents)
            TRY(pulse_verdict(t->pulse));
    }
    return OK;
}

/* ---------------------------------------------------------------- the transport */

/* n blocks of all, from that of rank `first` on. */
static Flow blocks(const Sockets *t, char *all, size_t n_bytes, int first, int n)
{
    const int straight = t->place.n_ranks - first < n ? t->place.n_ranks - first : n;
    return (Flow){{{all + (size_t)first * n_bytes, (size_t)straight * n_bytes}, {all, (size_t)(n - straight) * n_bytes}}};
}

static Status share_rounds(Sockets *t, size_t n_bytes, char *all)
{
    for (int k = 0; k < t->links.n_links; k++) {
        const int has = 1 << k, missing = t->place.n_ranks - has, n = has < missing ? has : missing;
        TRY(move(t, k, blocks(t, all, n_bytes, t->place.rank, n), blocks(t, all, n_bytes, neighbour(t, has), n), NULL));
    }
    return OK;
}

static Status share(void *state, const void *mine, size_t n_bytes, void *all)
{
    Sockets *t = state;
    memcpy((char *)all + (size_t)t->place.rank * n_bytes, mine, n_bytes);
    pulse_wait(t->pulse);
    Status s = share_rounds(t, n_bytes, all);
    pulse_go_on(t->pulse);
    return s;
}

/* Of n_ranks parts of x, that of a rank. */
static Flow part_of(const Sockets *t, char *x, int64_t n, DType type, int offset)
{
    const int64_t ranks = t->place.n_ranks, c = neighbour(t, offset);
    const int64_t begin = n / ranks * c + n % ranks * c / ranks, end = n / ranks * (c + 1) + n % ranks * (c + 1) / ranks;
    return (Flow){{{x + (size_t)begin * dtype_size(type), (size_t)(end - begin) * dtype_size(type)}, {NULL, 0}}};
}

static Status sum_rounds(Sockets *t, char *x, int64_t n, DType type)
{
    const int rounds = t->place.n_ranks - 1;
    for (int i = 0; i < rounds; i++)
        TRY(move(t, 0, part_of(t, x, n, type, i), part_of(t, x, n, type, i + 1), &type));
    for (int i = 0; i < rounds; i++) /* this rank has the whole sum of the part before its own */
        TRY(move(t, 0, part_of(t, x, n, type, i - 1), part_of(t, x, n, type, i), NULL));
    return OK;
}

static Status sum(void *state, void *x, int64_t n, DType type, void *stream)
{
    Sockets *t = state;
    (void)stream; /* of the host */
    pulse_wait(t->pulse);
    Status s = sum_rounds(t, x, n, type);
    pulse_go_on(t->pulse);
    return s;
}

static void enter(void *state, const char *call, int64_t step, bool patient)
{
    pulse_enter(((Sockets *)state)->pulse, call, step, patient);
}

static void enqueued(void *state) { pulse_wait(((Sockets *)state)->pulse); }

static Status accuse(void *state, const char *sentence) { return pulse_accuse(((Sockets *)state)->pulse, sentence); }

static void close_sockets(void *state, bool failed)
{
    Sockets *t = state;
    pulse_stop(&t->pulse, failed);
    meeting_close(&t->links, &t->place);
    mem_free(t->piece);
    mem_free(t);
}

Status sockets_open(Transport *out, const Place *place)
{
    Sockets *t = mem_alloc(sizeof *t);
    char *piece = mem_alloc(PIECE_BYTES);
    if (!t || !piece) {
        mem_free(t);
        mem_free(piece);
        return fail(ERR_NOMEM, "sockets between ranks: out of memory");
    }
    *t = (Sockets){.place = *place, .piece = piece};
    Status s = meeting_join(&t->links, place);
    if (s == OK) {
        s = pulse_start(&t->pulse, place, t->links.control);
        for (int i = 0; i < (place->rank == 0 ? place->n_ranks : 1); i++)
            t->links.control[i] = -1;
    }
    if (s != OK) {
        close_sockets(t, true);
        return s;
    }
    *out =
        (Transport){.state = t, .share = share, .sum = sum, .enter = enter, .enqueued = enqueued, .accuse = accuse, .close = close_sockets};
    return OK;
}
