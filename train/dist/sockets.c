/* sockets.c: a transport of ranks over sockets, inside a machine and between machines (transport.h). Called by dist.c. */
#include "train/dist/transport.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "kernels/base/arena.h"
#include "train/dist/meeting.h"
#include "train/dist/pulse.h"
#include "train/dist/rounds.h"

enum { PIECE_BYTES = 256 << 10, POLL_MS = 1000, VERDICT_MS = 5000 };

typedef struct Sockets {
    Place place;
    Meeting links;
    Rounds rounds;
    Pulse *pulse;
    char *piece; /* received, to be added */
} Sockets;

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

static bool is_later(ssize_t n) { return n < 0 && (errno == EAGAIN || errno == EINTR); }

static Status send_some(Sockets *t, int k, Flow *out)
{
    Span *s = flow_present(out);
    ssize_t n = send(t->links.to[k], s->at, s->n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && !is_later(n))
        return lose(t, rounds_neighbour(&t->rounds, -(1 << k)));
    span_advance(s, n > 0 ? (size_t)n : 0);
    return OK;
}

/* Added: whole numbers alone; the bytes of one that has not come whole are kept at the front of the piece (*kept of them). */
static Status receive_some(Sockets *t, int k, Flow *in, const DType *add, size_t *kept)
{
    Span *s = flow_present(in);
    char *to = add ? t->piece + *kept : s->at;
    size_t room = add ? (s->n < PIECE_BYTES ? s->n : PIECE_BYTES) - *kept : s->n;
    ssize_t n = recv(t->links.from[k], to, room, MSG_DONTWAIT);
    if (is_later(n))
        return OK;
    if (n <= 0)
        return lose(t, rounds_neighbour(&t->rounds, 1 << k));
    if (!add) {
        span_advance(s, (size_t)n);
        return OK;
    }
    size_t there = *kept + (size_t)n, whole = there - there % dtype_size(*add);
    rounds_add(s->at, t->piece, whole, *add);
    span_advance(s, whole);
    *kept = there - whole;
    memmove(t->piece, t->piece + whole, *kept);
    return OK;
}

static Status move(void *state, int k, Flow out, Flow in, const DType *add)
{
    Sockets *t = state;
    size_t kept = 0;
    while (flow_present(&out)->n || flow_present(&in)->n) {
        struct pollfd p[] = {{.fd = flow_present(&in)->n ? t->links.from[k] : -1, .events = POLLIN},
                             {.fd = flow_present(&out)->n ? t->links.to[k] : -1, .events = POLLOUT},
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

static Status share(void *state, const void *mine, size_t n_bytes, void *all)
{
    Sockets *t = state;
    pulse_wait(t->pulse);
    Status s = rounds_share(&t->rounds, mine, n_bytes, all);
    pulse_go_on(t->pulse);
    return s;
}

static Status sum(void *state, void *x, int64_t n, DType type, void *stream)
{
    Sockets *t = state;
    (void)stream; /* of the host */
    pulse_wait(t->pulse);
    Status s = rounds_sum(&t->rounds, x, n, type);
    pulse_go_on(t->pulse);
    return s;
}

static void enter(void *state, const char *call, int64_t step, bool patient)
{
    pulse_enter(((Sockets *)state)->pulse, call, step, patient);
}

static void enqueued(void *state) { pulse_wait(((Sockets *)state)->pulse); }

static void arrived(void *state) { pulse_go_on(((Sockets *)state)->pulse); }

static Status watch(void *state, int64_t us)
{
    Sockets *t = state;
    struct pollfd p = {.fd = pulse_fd(t->pulse), .events = POLLIN};
    const struct timespec wait = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    return ppoll(&p, 1, &wait, NULL) > 0 ? pulse_verdict(t->pulse) : OK;
}

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
    t->rounds = (Rounds){.rank = place->rank, .n_ranks = place->n_ranks, .n_links = t->links.n_links, .state = t, .move = move};
    if (s == OK) {
        s = pulse_start(&t->pulse, place, t->links.control);
        for (int i = 0; i < (place->rank == 0 ? place->n_ranks : 1); i++)
            t->links.control[i] = -1;
    }
    if (s != OK) {
        close_sockets(t, true);
        return s;
    }
    *out = (Transport){.state = t,
                       .share = share,
                       .sum = sum,
                       .enter = enter,
                       .enqueued = enqueued,
                       .arrived = arrived,
                       .watch = watch,
                       .accuse = accuse,
                       .close = close_sockets};
    return OK;
}
