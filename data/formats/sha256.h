/* sha256.h: SHA-256 of memory and of files, as bytes or as hex, and HMAC over it. */
#ifndef GENLLAVA_DATA_FORMATS_SHA256_H
#define GENLLAVA_DATA_FORMATS_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

void sha256_of(const void *bytes, size_t n, uint8_t out[32]);
/* HMAC-SHA256 (RFC 2104). */
void sha256_hmac(const void *key, size_t n_key, const void *bytes, size_t n, uint8_t out[32]);
void sha256_hex(const uint8_t digest[32], char out[65]);
/* n_bytes may be NULL. Absent: ERR_MISSING. */
MUST_USE Status sha256_file(const char *path, char out[65], int64_t *n_bytes);
#endif
