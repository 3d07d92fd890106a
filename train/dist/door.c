/* door.c: attends to those that call at a rank's listening socket (door.h). Called by meeting.c. */
#include "train/dist/door.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "train/dist/wire.h"

/* A rank answers a challenge within a round trip, in which fewer than MOST_GUESTS others can come. */
enum { MOST_GUESTS = 512, SILENT_MS = 3000, PAUSE_MS = 50, LOOK_MS = 500, MOST_TOLD = 10 };

/* A caller that has not said its Hello yet. */
typedef struct Guest {
    int fd;
    int64_t until;
    size_t n_bytes;
    uint8_t nonce[HELLO_NONCE_BYTES];
    Hello hello;
} Guest;

/* The oldest first. */
typedef struct Guests {
    Guest list[MOST_GUESTS];
    struct pollfd polled[MOST_GUESTS + 1]; /* and the listener */
    int n, n_refused;
    bool told; /* that no more files can be open */
} Guests;

/* ---------------------------------------------------------------- turning away */

static void turn_away(Guests *g, int fd, const char *why)
{
    close(fd);
    if (g->n_refused++ < MOST_TOLD)
        log_warn("a connection to the ranks' port was turned away: %s", why);
}

static void drop_oldest(Guests *g)
{
    turn_away(g, g->list[0].fd, "too many connections wait");
    memmove(g->list, g->list + 1, (size_t)--g->n * sizeof *g->list);
}

/* ---------------------------------------------------------------- letting in */

static void tell_nonce(const Door *d, Guest *guest)
{
    Challenge c;
    if (d->nonce) {
        memcpy(guest->nonce, d->nonce, sizeof guest->nonce);
        return;
    }
    memcpy(c.magic, HELLO_MAGIC, sizeof c.magic);
    if (hello_draw_nonce(c.nonce) == OK) {
        memcpy(guest->nonce, c.nonce, sizeof guest->nonce);
        ssize_t n = send(guest->fd, &c, sizeof c, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)n;
    }
}

/* That accept4 has failed for. It is told once. */
static bool lacks_files(Guests *g)
{
    const bool lacks = errno == EMFILE || errno == ENFILE;
    if (lacks && !g->told)
        log_warn("callers at the ranks' port cannot be let in: %s (ulimit -Hn must be larger than the number of ranks)", strerror(errno));
    g->told = g->told || lacks;
    return lacks;
}

/* As many as wait, but never so many that none of them could be listened to. */
static void take_guests(const Door *d, Guests *g)
{
    for (int i = 0; i < MOST_GUESTS / 2; i++) {
        int fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        const bool is_full = fd < 0 ? lacks_files(g) : g->n == MOST_GUESTS;
        if (is_full && g->n)
            drop_oldest(g);
        if (fd < 0)
            return;
        if (wire_is_inside(d->place) && !wire_is_own(fd)) {
            turn_away(g, fd, "it is another user's");
            continue;
        }
        wire_hurry(fd);
        g->list[g->n] = (Guest){.fd = fd, .until = wire_now() + SILENT_MS};
        tell_nonce(d, &g->list[g->n++]);
    }
}

static Answer judge_hello(const Door *d, const Guest *guest)
{
    const Hello *h = &guest->hello;
    if (!hello_is_proven(h, d->place->token, guest->nonce))
        return ANSWER_TOKEN;
    if (strncmp(h->version, GENLLAVA_VERSION, sizeof h->version))
        return ANSWER_VERSION;
    if (h->n_ranks != d->place->n_ranks)
        return ANSWER_COUNT;
    if (h->rank < 0 || h->rank >= h->n_ranks || h->to != d->place->rank)
        return ANSWER_STRANGE;
    return d->judge(d->arg, h);
}

/* Whether it is told whatever the answer is. */
static bool send_answer(const Door *d, const Guest *guest, Answer answer)
{
    Welcome w = {.rank = d->place->rank, .answer = answer};
    welcome_prove(&w, d->place->token, guest->hello.nonce);
    return send(guest->fd, &w, sizeof w, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof w;
}

static void answer_guest(Door *d, Guests *g, const Guest *guest)
{
    if (memcmp(guest->hello.magic, HELLO_MAGIC, sizeof HELLO_MAGIC)) {
        turn_away(g, guest->fd, "it is no rank, or one of another version of the program");
        return;
    }
    Answer answer = judge_hello(d, guest);
    if (!send_answer(d, guest, answer))
        turn_away(g, guest->fd, "it does not listen");
    else if (answer != ANSWER_WELCOME)
        turn_away(g, guest->fd, hello_reason(answer));
    else {
        d->welcome(d->arg, guest->fd, &guest->hello);
        d->left--;
    }
}

/* Whether the guest is still one. */
static bool listen_to_guest(Door *d, Guests *g, Guest *guest)
{
    ssize_t n = recv(guest->fd, (char *)&guest->hello + guest->n_bytes, sizeof guest->hello - guest->n_bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0) {
        turn_away(g, guest->fd, "it ended in the middle of a message");
        return false;
    }
    if ((guest->n_bytes += (size_t)n) < sizeof guest->hello)
        return true;
    answer_guest(d, g, guest);
    return false;
}

static void listen_to_all(Door *d, Guests *g)
{
    const int64_t now = wire_now();
    int kept = 0;
    for (int i = 0; i < g->n; i++) {
        bool stays = !g->polled[i].revents || listen_to_guest(d, g, &g->list[i]);
        if (stays && now >= g->list[i].until) {
            turn_away(g, g->list[i].fd, "it did not say what it wants");
            stays = false;
        }
        if (stays)
            g->list[kept++] = g->list[i];
    }
    g->n = kept;
}

/* ---------------------------------------------------------------- attending */

static void attend(Door *d, Guests *g)
{
    for (int64_t look = 0; d->left > 0 && wire_now() < d->until;) {
        for (int i = 0; i < g->n; i++)
            g->polled[i] = (struct pollfd){.fd = g->list[i].fd, .events = POLLIN};
        g->polled[g->n] = (struct pollfd){.fd = d->listener, .events = POLLIN};
        poll(g->polled, (nfds_t)g->n + 1, PAUSE_MS);
        listen_to_all(d, g);
        take_guests(d, g);
        if (d->goes_on && wire_now() >= look) {
            if (!d->goes_on(d->arg))
                break;
            look = wire_now() + LOOK_MS;
        }
    }
}

Status door_attend(Door *d)
{
    Guests *g = mem_alloc(sizeof *g);
    if (g) {
        *g = (Guests){.n = 0};
        attend(d, g);
        for (int i = 0; i < g->n; i++)
            close(g->list[i].fd);
    }
    close(d->listener);
    const bool no_memory = !g;
    mem_free(g);
    return no_memory ? fail(ERR_NOMEM, "callers at a port of the ranks: out of memory") : OK;
}
