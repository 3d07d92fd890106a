/* wire.c: sockets of a machine and between machines (wire.h). Called by meeting.c. */
#include "train/dist/wire.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_MS = 10000 }; /* to be connected */

int64_t wire_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---------------------------------------------------------------- addresses */

bool wire_is_inside(const Place *place) { return *place->address == '@'; }

bool wire_is_loopback(const Address *a)
{
    const struct sockaddr_in *v4 = (const void *)&a->at;
    const struct sockaddr_in6 *v6 = (const void *)&a->at;
    return a->at.ss_family == AF_INET    ? ntohl(v4->sin_addr.s_addr) >> 24 == 127
           : a->at.ss_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr)
                                         : false;
}

in_port_t *wire_port(Address *a)
{
    return a->at.ss_family == AF_INET6 ? &((struct sockaddr_in6 *)(void *)&a->at)->sin6_port
                                       : &((struct sockaddr_in *)(void *)&a->at)->sin_port;
}

Status wire_resolve(const Place *place, Address *out, bool *literal)
{
    *out = (Address){0};
    *literal = true;
    if (wire_is_inside(place)) { /* in the abstract namespace: no file */
        struct sockaddr_un *un = (void *)&out->at;
        size_t n = strlen(place->address + 1);
        if (n >= sizeof un->sun_path)
            return fail(ERR_USAGE, "MASTER_ADDR: %s is longer than the name of a socket may be", place->address);
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path + 1, place->address + 1, n);
        out->n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
        return OK;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found;
    int failed = getaddrinfo(place->address, NULL, &hints, &found);
    if (failed == EAI_NONAME) {
        hints.ai_flags = 0;
        *literal = false;
        failed = getaddrinfo(place->address, NULL, &hints, &found);
    }
    if (failed)
        return fail(ERR_DEVICE, "MASTER_ADDR: %s: %s", place->address, gai_strerror(failed));
    memcpy(&out->at, found->ai_addr, found->ai_addrlen);
    out->n = found->ai_addrlen;
    freeaddrinfo(found);
    *wire_port(out) = htons((in_port_t)place->port);
    return OK;
}

const char *wire_show(char *out, size_t room, const Place *place)
{
    if (wire_is_inside(place))
        snprintf(out, room, "socket %s of this machine", place->address);
    else
        snprintf(out, room, "%s:%d", place->address, place->port);
    return out;
}

Status wire_listen(Address *a, int *out)
{
    const int on = 1;
    int fd = *out = socket(a->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(ERR_DEVICE, "a socket: %s", strerror(errno));
    if (a->at.ss_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* after a run that has just ended */
    if (bind(fd, (const struct sockaddr *)&a->at, a->n) || listen(fd, SOMAXCONN))
        return fail(ERR_DEVICE, "%s", strerror(errno));
    a->n = sizeof a->at;
    return getsockname(fd, (struct sockaddr *)&a->at, &a->n) ? fail(ERR_DEVICE, "%s", strerror(errno)) : OK;
}

/* ---------------------------------------------------------------- connections */

/* ERR_DEVICE when it is not done by then. */
static Status transfer(int fd, void *bytes, size_t n, bool out, int64_t until)
{
    for (size_t at = 0; at < n;) {
        struct pollfd p = {.fd = fd, .events = out ? POLLOUT : POLLIN};
        int64_t left = until - wire_now();
        if (left <= 0)
            return fail(ERR_DEVICE, "nothing came in time");
        if (poll(&p, 1, left > 1000 ? 1000 : (int)left) <= 0)
            continue;
        ssize_t moved =
            out ? send(fd, (char *)bytes + at, n - at, MSG_NOSIGNAL | MSG_DONTWAIT) : recv(fd, (char *)bytes + at, n - at, MSG_DONTWAIT);
        if (!moved)
            return fail(ERR_DEVICE, "the connection is closed");
        if (moved < 0 && errno != EAGAIN && errno != EINTR)
            return fail(ERR_DEVICE, "%s", strerror(errno));
        at += moved > 0 ? (size_t)moved : 0;
    }
    return OK;
}

Status wire_send(int fd, const void *bytes, size_t n, int64_t until)
{
    union {
        const void *in;
        void *out;
    } as = {bytes}; /* it is only read */
    return transfer(fd, as.out, n, true, until);
}

Status wire_receive(int fd, void *bytes, size_t n, int64_t until) { return transfer(fd, bytes, n, false, until); }

void wire_hurry(int fd)
{
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* inside a machine there is no such thing */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

bool wire_is_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 ? errno != EAGAIN && errno != EINTR : n == 0;
}

bool wire_is_own(int fd)
{
    struct ucred who;
    socklen_t n = sizeof who;
    return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) && who.uid == geteuid();
}

int wire_connect(const Address *a, int64_t until)
{
    int fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
    socklen_t n = sizeof error;
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&a->at, a->n) && errno != EINPROGRESS)
        error = errno;
    else {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        int64_t left = until - wire_now();
        if (poll(&p, 1, left < 1 ? 1 : left > LONGEST_MS ? LONGEST_MS : (int)left) <= 0)
            error = ETIMEDOUT;
        else
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
    }
    if (!error && a->at.ss_family == AF_UNIX && !wire_is_own(fd))
        error = EPERM;
    if (!error) {
        wire_hurry(fd);
        return fd;
    }
    close(fd);
    errno = error;
    return -1;
}

void wire_sleep(int ms) { nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL); }
