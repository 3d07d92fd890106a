/* hello.h: the messages by which two ranks that meet show each other that they know the token, and who they are. Used by door.c, whose side
 * is called, and by meeting.c, whose side calls.
 *
 * A proof is HMAC-SHA256 under the token, over which side speaks, the nonce that the other side has drawn, and what is said: so neither a
 * message of an earlier meeting nor one's own sent back proves anything. */
#ifndef GENLLAVA_TRAIN_DIST_HELLO_H
#define GENLLAVA_TRAIN_DIST_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

enum { HELLO_NONCE_BYTES = 16, HELLO_PROOF_BYTES = 32, HELLO_CONTROL = -1 };
/* The last character counts versions of these messages. */
extern const char HELLO_MAGIC[8];

/* What rank 0 tells whoever connects. */
typedef struct Challenge {
    char magic[8];
    uint8_t nonce[HELLO_NONCE_BYTES];
} Challenge;

/* Of the caller. What is sent has no gaps. */
typedef struct Hello {
    char magic[8];
    int32_t rank, to, n_ranks; /* this is rank `rank` of n_ranks, and calls rank `to` */
    int32_t link;              /* or HELLO_CONTROL */
    char version[24];
    uint8_t nonce[HELLO_NONCE_BYTES];
    uint8_t door[128]; /* where the caller listens itself */
    int32_t door_bytes, unused;
    uint8_t proof[HELLO_PROOF_BYTES];
} Hello;

typedef enum Answer {
    ANSWER_WELCOME,
    ANSWER_TOKEN,
    ANSWER_VERSION,
    ANSWER_COUNT,
    ANSWER_TAKEN,
    ANSWER_STRANGE,
} Answer;
typedef struct Welcome {
    int32_t rank, answer; /* who answers; an Answer */
    uint8_t proof[HELLO_PROOF_BYTES];
} Welcome;

/* Why a caller with that answer is turned away, in words for both sides; any number is fine. */
const char *hello_reason(int32_t answer);
MUST_USE Status hello_draw_nonce(uint8_t out[HELLO_NONCE_BYTES]);
/* nonce: the called side's. */
void hello_prove(Hello *h, const char *token, const uint8_t nonce[HELLO_NONCE_BYTES]);
bool hello_is_proven(const Hello *h, const char *token, const uint8_t nonce[HELLO_NONCE_BYTES]);
/* nonce: the caller's. */
void welcome_prove(Welcome *w, const char *token, const uint8_t nonce[HELLO_NONCE_BYTES]);
bool welcome_is_proven(const Welcome *w, const char *token, const uint8_t nonce[HELLO_NONCE_BYTES]);
#endif
