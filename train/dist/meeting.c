/* meeting.c: the sockets between ranks (meeting.h). Called by sockets.c.
 *
 * A caller says Hello (hello.h): who it is, and that it knows the token. The called rank answers that it knows it too, or that it turns the
 * caller away. Inside a machine the system says whose process a caller is. A caller that is cut off calls again: strangers crowd at the
 * port.
 */
#include "train/dist/meeting.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "train/dist/door.h"
#include "train/dist/hello.h"
#include "train/dist/wire.h"

/* A call takes a round trip, and longer where strangers crowd. */
enum { CALL_MS = 10000, AGAIN_MS = 1000, PAUSE_MS = 50 };

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

/* ---------------------------------------------------------------- the circle of all */

/* What every rank knows when all are in. */
typedef struct Table {
    uint8_t session[HELLO_NONCE_BYTES];
    Address door[];
} Table;

typedef struct Circle {
    const Place *place;
    Meeting *m;
    Table *table;
    Address front;                   /* how this rank reaches rank 0 */
    bool literal;                    /* … whose address was given in numbers */
    int listener;                    /* of its own door */
    int lost;                        /* a rank that has ended after it had come, or 0 */
    Hello hello[MEETING_MOST_LINKS]; /* what the ranks that it calls are told */
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

static Answer judge_rank(void *arg, const Hello *h)
{
    const Circle *c = arg;
    if (h->link != HELLO_CONTROL || h->door_bytes < 0 || h->door_bytes > (int)sizeof h->door || h->rank == 0)
        return ANSWER_STRANGE;
    return c->m->control[h->rank] >= 0 ? ANSWER_TAKEN : ANSWER_WELCOME;
}

static void seat_rank(void *arg, int fd, const Hello *h)
{
    Circle *c = arg;
    c->m->control[h->rank] = fd;
    note_door(c, fd, h);
}

static bool has_all_seated(void *arg)
{
    Circle *c = arg;
    for (int r = 1; r < c->place->n_ranks && !c->lost; r++) {
        int fd = c->m->control[r];
        if (fd >= 0 && wire_is_closed(fd))
            c->lost = r;
    }
    return !c->lost;
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
              .judge = judge_rank,
              .welcome = seat_rank,
              .goes_on = has_all_seated,
              .arg = c,
              .left = c->place->n_ranks - 1,
              .until = wire_now() + (int64_t)c->place->join_s * 1000};
    TRY(open_front_door(c->place, &d.listener));
    TRY(door_attend(&d));
    if (c->lost)
        return fail(ERR_DEVICE, "rank %d has ended before all ranks were there", c->lost);
    if (d.left > 0)
        return name_missing(c);
    TRY(hello_draw_nonce(c->table->session));
    for (int r = 1; r < c->place->n_ranks; r++)
        TRY_IN(wire_send(c->m->control[r], c->table, table_bytes(c->place), wire_now() + CALL_MS), "rank %d", r);
    return OK;
}

static Status introduce(Hello *h, const Place *place, int to, int link, const Address *door)
{
    *h = (Hello){.rank = place->rank, .to = to, .n_ranks = place->n_ranks, .link = link, .door_bytes = (int32_t)door->n};
    memcpy(h->magic, HELLO_MAGIC, sizeof h->magic);
    snprintf(h->version, sizeof h->version, "%s", GENLLAVA_VERSION);
    memcpy(h->door, &door->at, sizeof door->at);
    return hello_draw_nonce(h->nonce);
}

/* Whether the called side is the rank that it should be, and lets this one in. Of what a stranger says nothing is shown. */
static Status judge_welcome(const Welcome *w, const Place *place, const Hello *h)
{
    if (!welcome_is_proven(w, place->token, h->nonce) || w->rank != h->to)
        return fail(ERR_USAGE, "what answers does not know the GENLLAVA_JOB_TOKEN of rank %d; set it to the same on all ranks, and "
                               "MASTER_PORT to one that this run has alone", place->rank);
    if (w->answer != ANSWER_WELCOME)
        return fail(ERR_USAGE, "it turns rank %d away: %s", place->rank, hello_reason(w->answer));
    return OK;
}

/* Says who this is, and learns whether rank 0 is what it claims to be. ERR_DEVICE: cut off before that, as when strangers crowd. */
static Status introduce_to_first(int fd, const Place *place, const Address *own)
{
    Challenge challenge;
    Welcome w;
    Hello h;
    const int64_t until = wire_now() + CALL_MS;
    TRY(introduce(&h, place, 0, HELLO_CONTROL, own));
    TRY(wire_receive(fd, &challenge, sizeof challenge, until));
    if (memcmp(challenge.magic, HELLO_MAGIC, sizeof HELLO_MAGIC))
        return fail(ERR_USAGE, "another program answers, or another version of this one; look at MASTER_ADDR and MASTER_PORT");
    hello_prove(&h, place->token, challenge.nonce);
    TRY(wire_send(fd, &h, sizeof h, until));
    TRY(wire_receive(fd, &w, sizeof w, until));
    return judge_welcome(&w, place, &h);
}

static void hang_up(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
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

/* Calls again where a call was cut off. */
static Status be_let_in(Circle *c)
{
    char text[PLACE_ADDRESS_BYTES + 32];
    const int64_t until = wire_now() + (int64_t)c->place->join_s * 1000;
    Address own = {.n = 0};
    for (;;) {
        TRY(call_first(c, until));
        if (c->listener < 0)
            TRY(open_own_door(&c->front, c->literal, &own, &c->listener));
        Status s = introduce_to_first(*c->m->control, c->place, &own);
        if (s == OK)
            return OK;
        wire_show(text, sizeof text, c->place);
        if (s != ERR_DEVICE)
            return fail_context(s, "rank 0 at %s", text);
        if (wire_now() >= until)
            return fail_context(s, "rank 0 at %s, called for %d s (GENLLAVA_RANKS_JOIN)", text, c->place->join_s);
        hang_up(c->m->control);
        wire_sleep(PAUSE_MS);
    }
}

static Status join_ranks(Circle *c)
{
    TRY(be_let_in(c));
    const int64_t until = wire_now() + (int64_t)c->place->join_s * 1000 + CALL_MS;
    if (wire_receive(*c->m->control, c->table, table_bytes(c->place), until) == OK)
        return OK;
    log_rank(c->place->rank, LOG_QUIET); /* rank 0 knows, and says, who is missing */
    return fail(ERR_DEVICE, "rank 0 has ended before all ranks were there");
}

/* ---------------------------------------------------------------- links */

static int rank_at(const Place *place, int offset) { return (place->rank + offset + place->n_ranks) % place->n_ranks; }

/* Says Hello. The answer is read later, as the other may itself still be calling. */
static Status call_neighbour(Circle *c, int k, int64_t until)
{
    const int to = rank_at(c->place, -(1 << k));
    Address a = c->table->door[to];
    Hello *h = &c->hello[k];
    if (a.at.ss_family == AF_UNSPEC) {
        in_port_t port = *wire_port(&a);
        a = c->front;
        *wire_port(&a) = port;
    }
    TRY(introduce(h, c->place, to, k, &a));
    hello_prove(h, c->place->token, c->table->session);
    int fd = c->m->to[k] = wire_connect(&a, until);
    return fd < 0 ? fail(ERR_DEVICE, "%s; every port of these machines must be open to each other", strerror(errno))
                  : wire_send(fd, h, sizeof *h, until);
}

/* Where a call was cut off, or did not come through. */
static bool call_again(void *arg)
{
    Circle *c = arg;
    for (int k = 0; k < c->m->n_links; k++) {
        if (c->m->to[k] >= 0 && wire_is_closed(c->m->to[k]))
            hang_up(&c->m->to[k]);
        if (c->m->to[k] < 0 && call_neighbour(c, k, wire_now() + AGAIN_MS) != OK)
            hang_up(&c->m->to[k]);
    }
    return true;
}

static Status be_welcomed(Circle *c, int k, int64_t until)
{
    int *fd = &c->m->to[k];
    Welcome w;
    for (;;) {
        Status s = *fd < 0 ? call_neighbour(c, k, until) : OK;
        if (s == OK)
            s = wire_receive(*fd, &w, sizeof w, until);
        if (s == OK)
            return judge_welcome(&w, c->place, &c->hello[k]);
        hang_up(fd);
        if (wire_now() >= until)
            return s;
        wire_sleep(PAUSE_MS);
    }
}

static Answer judge_neighbour(void *arg, const Hello *h)
{
    const Circle *c = arg;
    const Meeting *m = c->m;
    if (h->link < 0 || h->link >= m->n_links || h->rank != rank_at(c->place, 1 << h->link))
        return ANSWER_STRANGE;
    return m->from[h->link] >= 0 ? ANSWER_TAKEN : ANSWER_WELCOME;
}

static void link_neighbour(void *arg, int fd, const Hello *h)
{
    const Circle *c = arg;
    c->m->from[h->link] = fd;
}

static Status name_unlinked(Circle *c)
{
    for (int k = 0; k < c->m->n_links; k++)
        if (c->m->to[k] < 0)
            TRY_IN(call_neighbour(c, k, wire_now() + AGAIN_MS), "rank %d cannot reach rank %d", c->place->rank,
                   rank_at(c->place, -(1 << k)));
    for (int k = 0; k < c->m->n_links; k++)
        if (c->m->from[k] < 0)
            return fail(ERR_DEVICE, "rank %d has not called rank %d", rank_at(c->place, 1 << k), c->place->rank);
    return OK;
}

/* All ranks come to this at the same time. */
static Status link_ranks(Circle *c)
{
    const int64_t silence = (int64_t)c->place->silence_s * 1000, until = wire_now() + (silence > CALL_MS ? silence : CALL_MS);
    Door d = {.place = c->place,
              .listener = c->listener,
              .nonce = c->table->session,
              .judge = judge_neighbour,
              .welcome = link_neighbour,
              .goes_on = call_again,
              .arg = c,
              .left = c->m->n_links,
              .until = until};
    call_again(c);
    c->listener = -1;
    TRY(door_attend(&d));
    TRY(name_unlinked(c));
    for (int k = 0; k < c->m->n_links; k++)
        TRY_IN(be_welcomed(c, k, until), "rank %d does not answer rank %d", rank_at(c->place, -(1 << k)), c->place->rank);
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
