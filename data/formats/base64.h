/* base64.h: bytes as letters (RFC 4648, with padding). Called where bytes are put into JSON. */
#ifndef GENLLAVA_DATA_FORMATS_BASE64_H
#define GENLLAVA_DATA_FORMATS_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* Letters of n bytes. */
static inline size_t base64_length(size_t n) { return (n + 2) / 3 * 4; }
/* Writes base64_length(n) letters, no NUL. */
void base64_encode(char *out, const uint8_t *bytes, size_t n);
#endif
