/* digest.h: SHA-256 as hex, for comparisons with golden values. */
#ifndef GENLLAVA_TESTS_DATA_DIGEST_H
#define GENLLAVA_TESTS_DATA_DIGEST_H

#include <openssl/sha.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

typedef struct Digest {
    char hex[2 * SHA256_DIGEST_LENGTH + 1];
} Digest;

/* The first n_digits of the digest. */
static inline Digest digest(const void *bytes, size_t n, size_t n_digits)
{
    unsigned char raw[SHA256_DIGEST_LENGTH];
    Digest d;
    SHA256((const unsigned char *)bytes, n, raw);
    for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++)
        snprintf(d.hex + 2 * i, 3, "%02x", raw[i]);
    d.hex[n_digits] = 0;
    return d;
}

/* The whole digest of FOLDER/NAME. */
static inline Digest file_digest(const char *folder, const char *name)
{
    char path[PATH_MAX], *bytes;
    size_t n;
    REQUIRE_OK(file_read(&bytes, &n, file_join(path, folder, name), 1 << 24));
    Digest d = digest(bytes, n, 2 * SHA256_DIGEST_LENGTH);
    mem_free(bytes);
    return d;
}
#endif
