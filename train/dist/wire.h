/* wire.h: sockets of a machine and between machines: addresses, connecting, whole messages by a time. Used by meeting.c. Times are those
 * of wire_now. */
#ifndef GENLLAVA_TRAIN_DIST_WIRE_H
#define GENLLAVA_TRAIN_DIST_WIRE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "kernels/base/status.h"
#include "train/dist/place.h"

/* Of family AF_UNSPEC: a port of the machine of rank 0. */
typedef struct Address {
    struct sockaddr_storage at;
    socklen_t n;
} Address;

int64_t wire_now(void); /* milliseconds */
void wire_sleep(int ms);

/* Whether the ranks meet inside a machine. */
bool wire_is_inside(const Place *place);
bool wire_is_loopback(const Address *a);
/* In network order. Not of an address inside a machine. */
in_port_t *wire_port(Address *a);
/* The address that all know. *literal: it is numbers, not a name. */
MUST_USE Status wire_resolve(const Place *place, Address *out, bool *literal);
/* "node1:29500", or what it is inside a machine. */
const char *wire_show(char *out, size_t room, const Place *place);

/* Listens there; on any free port for port 0, under any free name where there is none. *a becomes where that is. */
MUST_USE Status wire_listen(Address *a, int *out);
/* -1 with errno. */
int wire_connect(const Address *a, int64_t until);
/* Small messages are not held back to be joined. */
void wire_hurry(int fd);
/* Of one that has nothing to receive but its end. */
bool wire_is_closed(int fd);
/* Whether the other end, inside the machine, belongs to the same user. */
bool wire_is_own(int fd);
/* ERR_DEVICE when not all of it has been sent, or has come, by then. */
MUST_USE Status wire_send(int fd, const void *bytes, size_t n, int64_t until);
MUST_USE Status wire_receive(int fd, void *bytes, size_t n, int64_t until);
#endif
