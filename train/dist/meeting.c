/* meeting.c: the sockets between ranks (meeting.h). Called by sockets.c.
 *
 * A caller says Hello: who it is and, in a hash, that it knows the token and what only this meeting's rank 0 has just told it. It is let in
 * or turned away with a sentence. Inside a machine the system says whose process a caller is. */
#include "train/dist/meeting.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "data/formats/sha256.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "train/dist/wire.h"

enum { NONCE_BYTES = 16, PROOF_BYTES = 32, CONTROL = -1, MOST_GUESTS = 64, GUEST_MS = 10000, PAUSE_MS = 50, PROTOCOL = 1 };
static const char MAGIC[8] = "GENLLAVA";

/* What is sent has no gaps. */
typedef struct Challenge {
    char magic[8];
    uint8_t nonce[NONCE_BYTES];
} Challenge;
typedef struct Hello {
    char magic[8];
    int32_t protocol, rank, n_ranks, link; /* link: or CONTROL */
    char version[24];
    uint8_t nonce[NONCE_BYTES];
    uint8_t door[128]; /* an Address: where the caller listens itself */
    int32_t door_bytes, unused;
    uint8_t proof[PROOF_BYTES];
} Hello;
typedef struct Welcome {
    uint8_t proof[PROOF_BYTES];
    char refusal[192]; /* "": let in */
} Welcome;
_Static_assert(sizeof(struct sockaddr_storage) <= sizeof((Hello){0}.door), "Hello.door holds an address");

/* ---------------------------------------------------------------- secrets */

static Status draw_nonce(uint8_t out[NONCE_BYTES])
{
    return getentropy(out, NONCE_BYTES) ? fail(ERR_DEVICE, "the system gives no random numbers: %s", strerror(errno)) : OK;
}

/* The token, what the other side has drawn, and what is said. */
static void prove(const char *token, const uint8_t nonce[NONCE_BYTES], const void *said, size_t n, uint8_t out[PROOF_BYTES])
{
    uint8_t text[PLACE_TOKEN_BYTES + NONCE_BYTES + sizeof(Hello)] = {0};
    memcpy(text, token, strlen(token));
    memcpy(text + PLACE_TOKEN_BYTES, nonce, NONCE_BYTES);
    memcpy(text + PLACE_TOKEN_BYTES + NONCE_BYTES, said, n);
    sha256_of(text, sizeof text, out);
}

static void prove_hello(const Place *place, const uint8_t nonce[NONCE_BYTES], const Hello *h, uint8_t out[PROOF_BYTES])
{
    prove(place->token, nonce, h, offsetof(Hello, proof), out);
}

/* ---------------------------------------------------------------- doors */

/* Where rank 0 listens. Under a name, which may lead elsewhere on its own machine than on others, on all addresses. */
static Status open_front_door(const Place *place, int *out)
{
    char text[PLACE_ADDRESS_BYTES + 32];
    Address a;
    bool literal;
    TRY(wire_resolve(place, &a, &literal));
    if (!literal && a.at.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&a.at)->sin_addr.s_addr = htonl(INADDR_ANY);
    else if (!literal)
        ((struct sockaddr_in6 *)(void *)&a.at)->sin6_addr = in6addr_any;
    if (wire_listen(&a, out) == OK)
        return OK;
    return fail(ERR_DEVICE, "rank 0 cannot listen at %s: %s; %s", wire_show(text, sizeof text, place), status_message(),
                errno == EADDRINUSE      ? "set MASTER_PORT to one that no other program uses, on all ranks"
                : errno == EADDRNOTAVAIL ? "MASTER_ADDR must be an address of the machine of rank 0"
                                         : "look at MASTER_ADDR and MASTER_PORT");
}

/* Where a rank waits for those that it is linked with: on every address, as nobody knows by which the others reach it. */
static Status open_own_door(const Address *front, bool literal, Address *own, int *out)
{
    *own = (Address){.at.ss_family = front->at.ss_family, .n = front->n};
    if (front->at.ss_family == AF_UNIX)
        own->n = sizeof(sa_family_t);
    else if (literal && wire_is_loopback(front))
        memcpy(&own->at, &front->at, sizeof own->at);
    if (front->at.ss_family != AF_UNIX)
        *wire_port(own) = 0;
    TRY_IN(wire_listen(own, out), "a port for other ranks");
    return OK;
}

/* ---------------------------------------------------------------- letting in */

/* A caller that has not said its Hello yet. */
typedef struct Guest {
    int fd;
    int64_t until;
    size_t n_bytes;
    uint8_t nonce[NONCE_BYTES];
    Hello hello;
} Guest;

typedef struct Door {
    const Place *place;
    int listener;
    const uint8_t *nonce; /* of all callers; NULL: each is told one of its own */
    /* NULL: it is let in, and its connection taken over. */
    const char *(*judge)(void *arg, int fd, const Hello *h);
    void *arg;
    int left; /* to be let in */
    int64_t until;
    int refused;
    Guest guests[MOST_GUESTS];
    int n_guests;
} Door;

static void turn_away(Door *d, const Guest *g, const char *why)
{
    enum { TOLD = 10 };
    Welcome w = {0};
    snprintf(w.refusal, sizeof w.refusal, "%s", why);
    ssize_t n = send(g->fd, &w, sizeof w, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)n;
    close(g->fd);
    if (d->refused++ < TOLD)
        log_warn("a connection to the ranks' port was turned away: %s", why);
}

/* Those that have been silent longest make room. */
static void take_guest(Door *d)
{
    int fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    Guest *g = &d->guests[d->n_guests];
    if (d->n_guests == MOST_GUESTS) {
        turn_away(d, d->guests, "too many connections wait");
        memmove(d->guests, d->guests + 1, (MOST_GUESTS - 1) * sizeof *g);
        g--;
    } else
        d->n_guests++;
    *g = (Guest){.fd = fd, .until = wire_now() + GUEST_MS};
    wire_hurry(fd);
    if (wire_is_inside(d->place) && !wire_is_own(fd)) {
        turn_away(d, g, "it is another user's");
        d->n_guests--;
        return;
    }
    if (d->nonce) {
        memcpy(g->nonce, d->nonce, NONCE_BYTES);
        return;
    }
    Challenge c;
    memcpy(c.magic, MAGIC, sizeof c.magic);
    if (draw_nonce(c.nonce) == OK) {
        memcpy(g->nonce, c.nonce, NONCE_BYTES);
        ssize_t n = send(fd, &c, sizeof c, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)n;
    }
}

static const char *judge_hello(const Door *d, const Guest *g)
{
    uint8_t proof[PROOF_BYTES];
    const Hello *h = &g->hello;
    if (memcmp(h->magic, MAGIC, sizeof MAGIC))
        return "it is no rank";
    prove_hello(d->place, g->nonce, h, proof);
    if (memcmp(proof, h->proof, sizeof proof))
        return "its GENLLAVA_JOB_TOKEN is not that of the others";
    if (h->protocol != PROTOCOL || strncmp(h->version, GENLLAVA_VERSION, sizeof h->version))
        return "it is of another version of the program";
    if (h->n_ranks != d->place->n_ranks || h->rank < 0 || h->rank >= h->n_ranks)
        return "it counts another number of ranks";
    return d->judge(d->arg, g->fd, h);
}

/* Whether the guest is still one. */
static bool listen_to_guest(Door *d, Guest *g)
{
    ssize_t n = recv(g->fd, (char *)&g->hello + g->n_bytes, sizeof g->hello - g->n_bytes, MSG_DONTWAIT);
    const char *refusal;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (wire_now() < g->until)
            return true;
        refusal = "it did not say what it wants";
    } else if (n <= 0)
        refusal = "it ended in the middle of a message";
    else if ((g->n_bytes += (size_t)n) < sizeof g->hello)
        return true;
    else
        refusal = judge_hello(d, g);
    if (refusal)
        turn_away(d, g, refusal);
    else
        d->left--;
    return false;
}

/* Until all are in, or it is too late. */
static void attend(Door *d)
{
    while (d->left > 0 && wire_now() < d->until) {
        struct pollfd fds[MOST_GUESTS + 1];
        for (int i = 0; i < d->n_guests; i++)
            fds[i] = (struct pollfd){.fd = d->guests[i].fd, .events = POLLIN};
        fds[d->n_guests] = (struct pollfd){.fd = d->listener, .events = POLLIN};
        poll(fds, (nfds_t)d->n_guests + 1, PAUSE_MS);
        int kept = 0;
        for (int i = 0; i < d->n_guests; i++)
            if (listen_to_guest(d, &d->guests[i]))
                d->guests[kept++] = d->guests[i];
        d->n_guests = kept;
        take_guest(d);
    }
    for (int i = 0; i < d->n_guests; i++)
        close(d->guests[i].fd);
    close(d->listener);
}

/* ---------------------------------------------------------------- the circle of all */

/* What every rank knows when all are in. */
typedef struct Table {
    uint8_t session[NONCE_BYTES];
    Address door[];
} Table;

typedef struct Circle {
    const Place *place;
    Meeting *m;
    Table *table;
    Address front; /* how this rank reaches rank 0 */
    bool literal;  /* … whose address was given in numbers */
    int listener;  /* of its own door */
} Circle;

static size_t table_bytes(const Place *place) { return sizeof(Table) + (size_t)place->n_ranks * sizeof(Address); }

/* Hosts know their own machine by another address than the others do. */
static void note_door(Circle *c, int fd, const Hello *h)
{
    Address *a = &c->table->door[h->rank], seen = {.n = sizeof seen.at};
    memcpy(&a->at, h->door, sizeof a->at);
    a->n = (socklen_t)h->door_bytes;
    if (wire_is_inside(c->place) || getpeername(fd, (struct sockaddr *)&seen.at, &seen.n))
        return;
    *wire_port(&seen) = *wire_port(a);
    if (wire_is_loopback(&seen))
        seen.at.ss_family = AF_UNSPEC;
    *a = seen;
}

static const char *let_in(void *arg, int fd, const Hello *h)
{
    Circle *c = arg;
    Welcome w = {{0}, ""};
    if (h->link != CONTROL || h->door_bytes < 0 || h->door_bytes > (int)sizeof h->door || h->rank == 0)
        return "it is no other rank";
    if (c->m->control[h->rank] >= 0)
        return "its number is taken: two ranks have the same";
    prove(c->place->token, h->nonce, MAGIC, sizeof MAGIC, w.proof);
    if (send(fd, &w, sizeof w, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof w)
        return "it does not listen";
    c->m->control[h->rank] = fd;
    note_door(c, fd, h);
    return NULL;
}

static Status name_missing(const Circle *c)
{
    char names[128] = "", text[PLACE_ADDRESS_BYTES + 32];
    size_t n = 0;
    int missing = 0;
    for (int r = 1; r < c->place->n_ranks; r++)
        if (c->m->control[r] < 0 && missing++ < 8)
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%d", n ? ", " : "", r);
    return fail(ERR_DEVICE, "rank%s %s%s %s not come to %s within %d s (GENLLAVA_RANKS_JOIN)", missing > 1 ? "s" : "", names,
                missing > 8 ? " and others" : "", missing > 1 ? "have" : "has", wire_show(text, sizeof text, c->place), c->place->join_s);
}

static Status gather_ranks(Circle *c)
{
    Door d = {.place = c->place,
              .judge = let_in,
              .arg = c,
              .left = c->place->n_ranks - 1,
              .until = wire_now() + (int64_t)c->place->join_s * 1000};
    TRY(open_front_door(c->place, &d.listener));
    attend(&d);
    if (d.left > 0)
        return name_missing(c);
    TRY(draw_nonce(c->table->session));
    for (int r = 1; r < c->place->n_ranks; r++)
        TRY_IN(wire_send(c->m->control[r], c->table, table_bytes(c->place), d.until + GUEST_MS), "rank %d", r);
    return OK;
}

static Hello introduce(const Place *place, int link, const Address *door)
{
    Hello h = {.protocol = PROTOCOL, .rank = place->rank, .n_ranks = place->n_ranks, .link = link, .door_bytes = (int32_t)door->n};
    memcpy(h.magic, MAGIC, sizeof h.magic);
    snprintf(h.version, sizeof h.version, "%s", GENLLAVA_VERSION);
    memcpy(h.door, &door->at, sizeof door->at);
    return h;
}

/* Says who this is, and learns whether rank 0 is what it claims to be. */
static Status introduce_to_first(const Circle *c, const Address *own, int64_t until)
{
    Challenge challenge;
    Welcome w;
    uint8_t proof[PROOF_BYTES];
    int fd = *c->m->control;
    Hello h = introduce(c->place, CONTROL, own);
    TRY(draw_nonce(h.nonce));
    TRY(wire_receive(fd, &challenge, sizeof challenge, until));
    if (memcmp(challenge.magic, MAGIC, sizeof MAGIC))
        return fail(ERR_DEVICE, "another program answers");
    prove_hello(c->place, challenge.nonce, &h, h.proof);
    TRY(wire_send(fd, &h, sizeof h, until));
    TRY(wire_receive(fd, &w, sizeof w, until));
    w.refusal[sizeof w.refusal - 1] = 0;
    if (*w.refusal)
        return fail(ERR_USAGE, "it turns rank %d away: %s", c->place->rank, w.refusal);
    prove(c->place->token, h.nonce, MAGIC, sizeof MAGIC, proof);
    return memcmp(proof, w.proof, sizeof proof) ? fail(ERR_DEVICE, "it does not know GENLLAVA_JOB_TOKEN") : OK;
}

/* Rank 0 may begin to listen later than this one calls. */
static Status call_first(Circle *c, int64_t until)
{
    char text[PLACE_ADDRESS_BYTES + 32];
    Status s;
    while ((s = wire_resolve(c->place, &c->front, &c->literal)) != OK || (*c->m->control = wire_connect(&c->front, until)) < 0) {
        if (s == OK && wire_now() >= until)
            return fail(ERR_DEVICE, "rank 0 cannot be reached at %s: %s, for %d s (GENLLAVA_RANKS_JOIN)",
                        wire_show(text, sizeof text, c->place), strerror(errno), c->place->join_s);
        if (wire_now() >= until)
            return s;
        wire_sleep(PAUSE_MS);
    }
    return OK;
}

static Status join_ranks(Circle *c)
{
    char text[PLACE_ADDRESS_BYTES + 32];
    int64_t until = wire_now() + (int64_t)c->place->join_s * 1000;
    Address own;
    TRY(call_first(c, until));
    TRY(open_own_door(&c->front, c->literal, &own, &c->listener));
    TRY_IN(introduce_to_first(c, &own, until + GUEST_MS), "rank 0 at %s", wire_show(text, sizeof text, c->place));
    if (wire_receive(*c->m->control, c->table, table_bytes(c->place), until + 2 * GUEST_MS) == OK)
        return OK;
    log_rank(c->place->rank, LOG_QUIET); /* rank 0 knows, and says, who is missing */
    return fail(ERR_DEVICE, "rank 0 has ended before all ranks were there");
}

/* ---------------------------------------------------------------- links */

static int rank_at(const Place *place, int offset) { return (place->rank + offset + place->n_ranks) % place->n_ranks; }

static Status call_neighbour(const Circle *c, int k)
{
    const int to = rank_at(c->place, -(1 << k));
    Address a = c->table->door[to];
    Hello h = introduce(c->place, k, &a);
    const int64_t until = wire_now() + GUEST_MS;
    if (a.at.ss_family == AF_UNSPEC) {
        in_port_t port = *wire_port(&a);
        a = c->front;
        *wire_port(&a) = port;
    }
    int fd = c->m->to[k] = wire_connect(&a, until);
    if (fd < 0)
        return fail(ERR_DEVICE, "rank %d cannot reach rank %d: %s; every port of these machines must be open to each other", c->place->rank,
                    to, strerror(errno));
    prove_hello(c->place, c->table->session, &h, h.proof);
    TRY_IN(wire_send(fd, &h, sizeof h, until), "rank %d", to);
    return OK;
}

static const char *let_neighbour_in(void *arg, int fd, const Hello *h)
{
    const Circle *c = arg;
    Meeting *m = c->m;
    if (h->link < 0 || h->link >= m->n_links || m->from[h->link] >= 0 || h->rank != rank_at(c->place, 1 << h->link))
        return "it is no neighbour";
    m->from[h->link] = fd;
    return NULL;
}

static Status link_ranks(Circle *c)
{
    Meeting *m = c->m;
    for (int k = 0; k < m->n_links; k++)
        TRY(call_neighbour(c, k));
    Door d = {.place = c->place,
              .listener = c->listener,
              .nonce = c->table->session,
              .judge = let_neighbour_in,
              .arg = c,
              .left = m->n_links,
              .until = wire_now() + (int64_t)c->place->join_s * 1000};
    c->listener = -1;
    attend(&d);
    for (int k = 0; k < m->n_links; k++)
        if (m->from[k] < 0)
            return fail(ERR_DEVICE, "rank %d has not called rank %d", rank_at(c->place, 1 << k), c->place->rank);
    return OK;
}

static Status meet(Circle *c)
{
    if (c->place->rank > 0)
        return join_ranks(c);
    TRY(wire_resolve(c->place, &c->front, &c->literal));
    TRY(open_own_door(&c->front, c->literal, &c->table->door[0], &c->listener));
    if (!wire_is_inside(c->place))
        c->table->door[0].at.ss_family = AF_UNSPEC;
    return gather_ranks(c);
}

Status meeting_join(Meeting *m, const Place *place)
{
    Circle c = {.place = place, .m = m, .table = mem_alloc(table_bytes(place)), .listener = -1};
    int n = place->rank == 0 ? place->n_ranks : 1;
    *m = (Meeting){.control = mem_alloc((size_t)n * sizeof *m->control)};
    Status s = c.table && m->control ? OK : fail(ERR_NOMEM, "%d ranks: out of memory", place->n_ranks);
    for (int i = 0; i < n && m->control; i++)
        m->control[i] = -1;
    for (; 1 << m->n_links < place->n_ranks; m->n_links++)
        m->to[m->n_links] = m->from[m->n_links] = -1;
    if (s == OK)
        s = meet(&c);
    if (s == OK)
        s = link_ranks(&c);
    if (c.listener >= 0)
        close(c.listener);
    mem_free(c.table);
    return s;
}

static void close_all(const int *fds, int n)
{
    for (int i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

void meeting_close(Meeting *m, const Place *place)
{
    close_all(m->to, m->n_links);
    close_all(m->from, m->n_links);
    if (m->control)
        close_all(m->control, place->rank == 0 ? place->n_ranks : 1);
    mem_free(m->control);
    *m = (Meeting){0};
}
