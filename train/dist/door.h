/* door.h: lets those in that call at a listening socket of a rank and prove that they know the token. Strangers are turned away, and do not
 * keep ranks out: those that say nothing are dropped soon, and when there are too many, the oldest. Used by meeting.c. */
#ifndef GENLLAVA_TRAIN_DIST_DOOR_H
#define GENLLAVA_TRAIN_DIST_DOOR_H

#include "train/dist/hello.h"
#include "train/dist/place.h"

typedef struct Door {
    const Place *place;
    int listener;
    const uint8_t *nonce; /* of all callers; NULL: each is told one of its own */
    /* Whether a caller that has proven the token is waited for. */
    Answer (*judge)(void *arg, const Hello *h);
    /* It is in and has been told so: its connection is taken over. */
    void (*welcome)(void *arg, int fd, const Hello *h);
    /* Looked at every now and then: whether there is still something to wait for. NULL: there is. */
    bool (*goes_on)(void *arg);
    void *arg;
    int left; /* to be let in */
    int64_t until;
} Door;

/* Until all are in (left is 0), or it is too late. Closes the listener. */
MUST_USE Status door_attend(Door *d);
#endif
