/* sha256.c: SHA-256 of memory and of files (sha256.h). */
#include "data/formats/sha256.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"

enum { PIECE = 1 << 18 };

void sha256_of(const void *bytes, size_t n, uint8_t out[32]) { SHA256(bytes, n, out); }

void sha256_hmac(const void *key, size_t n_key, const void *bytes, size_t n, uint8_t out[32])
{
    HMAC(EVP_sha256(), key, (int)n_key, bytes, n, out, NULL);
}

void sha256_hex(const uint8_t digest[32], char out[65])
{
    for (int i = 0; i < 32; i++) {
        out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    out[64] = 0;
}

static Status hash_fd(int fd, const char *path, EVP_MD_CTX *ctx, int64_t *total)
{
    uint8_t *piece = mem_grow(NULL, PIECE);
    if (!piece)
        return fail(ERR_NOMEM, "%s: no memory to read it", path);
    Status s = OK;
    *total = 0;
    for (;;) {
        ssize_t n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            s = fail(ERR_IO, "%s: reading: %s", path, strerror(errno));
        if (n <= 0)
            break;
        EVP_DigestUpdate(ctx, piece, (size_t)n);
        *total += n;
    }
    mem_free(piece);
    return s;
}

Status sha256_file(const char *path, char out[65], int64_t *n_bytes)
{
    int fd;
    TRY(file_open(&fd, path));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int64_t total = 0;
    Status s = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) ? OK : fail(ERR_NOMEM, "%s: no memory for its hash", path);
    if (!s)
        s = hash_fd(fd, path, ctx, &total);
    uint8_t digest[32];
    if (!s && !EVP_DigestFinal_ex(ctx, digest, NULL))
        s = fail(ERR_INTERNAL, "%s: SHA-256 failed", path);
    EVP_MD_CTX_free(ctx);
    close(fd);
    if (s)
        return s;
    sha256_hex(digest, out);
    if (n_bytes)
        *n_bytes = total;
    return OK;
}
