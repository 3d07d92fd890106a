/* hello.c: proofs that the other side knows the token (hello.h). Called by door.c and meeting.c. */
#include "train/dist/hello.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "data/formats/sha256.h"

_Static_assert(sizeof(struct sockaddr_storage) <= sizeof((Hello){0}.door), "Hello.door holds an address");
const char HELLO_MAGIC[8] = "GENLLAV2";

const char *hello_reason(int32_t answer)
{
    switch (answer) {
    case ANSWER_TOKEN: return "its GENLLAVA_JOB_TOKEN is not that of the others";
    case ANSWER_VERSION: return "it is of another version of the program";
    case ANSWER_COUNT: return "it counts another number of ranks";
    case ANSWER_TAKEN: return "its number is taken: two ranks have the same";
    default: return "it is not the rank that is waited for";
    }
}

Status hello_draw_nonce(uint8_t out[HELLO_NONCE_BYTES])
{
    return getentropy(out, HELLO_NONCE_BYTES) ? fail(ERR_DEVICE, "the system gives no random numbers: %s", strerror(errno)) : OK;
}

static void prove(const char *token, const char side[8], const uint8_t nonce[HELLO_NONCE_BYTES], const void *said, size_t n,
                  uint8_t out[HELLO_PROOF_BYTES])
{
    uint8_t text[8 + HELLO_NONCE_BYTES + sizeof(Hello)];
    memcpy(text, side, 8);
    memcpy(text + 8, nonce, HELLO_NONCE_BYTES);
    memcpy(text + 8 + HELLO_NONCE_BYTES, said, n);
    sha256_hmac(token, strlen(token), text, 8 + HELLO_NONCE_BYTES + n, out);
}

/* Takes as long wherever they differ. */
static bool is_same(const uint8_t *a, const uint8_t *b)
{
    int difference = 0;
    for (int i = 0; i < HELLO_PROOF_BYTES; i++)
        difference |= a[i] ^ b[i];
    return !difference;
}

static void prove_hello(const Hello *h, const char *token, const uint8_t *nonce, uint8_t out[HELLO_PROOF_BYTES])
{
    prove(token, "caller.", nonce, h, offsetof(Hello, proof), out);
}

static void prove_welcome(const Welcome *w, const char *token, const uint8_t *nonce, uint8_t out[HELLO_PROOF_BYTES])
{
    prove(token, "called.", nonce, w, offsetof(Welcome, proof), out);
}

void hello_prove(Hello *h, const char *token, const uint8_t nonce[HELLO_NONCE_BYTES]) { prove_hello(h, token, nonce, h->proof); }

bool hello_is_proven(const Hello *h, const char *token, const uint8_t nonce[HELLO_NONCE_BYTES])
{
    uint8_t proof[HELLO_PROOF_BYTES];
    prove_hello(h, token, nonce, proof);
    return is_same(proof, h->proof);
}

void welcome_prove(Welcome *w, const char *token, const uint8_t nonce[HELLO_NONCE_BYTES]) { prove_welcome(w, token, nonce, w->proof); }

bool welcome_is_proven(const Welcome *w, const char *token, const uint8_t nonce[HELLO_NONCE_BYTES])
{
    uint8_t proof[HELLO_PROOF_BYTES];
    prove_welcome(w, token, nonce, proof);
    return is_same(proof, w->proof);
}
