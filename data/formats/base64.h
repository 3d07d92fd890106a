/* base64.h: bytes as letters (RFC 4648, with padding). Called where bytes are put into JSON, and where tables hold pictures. */
#ifndef GENLLAVA_DATA_FORMATS_BASE64_H
#define GENLLAVA_DATA_FORMATS_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Letters of n bytes. */
static inline size_t base64_length(size_t n) { return (n + 2) / 3 * 4; }
/* Writes base64_length(n) letters, no NUL. */
void base64_encode(char *out, const uint8_t *bytes, size_t n);
/* The bytes of n letters, at most n / 4 * 3 of them; line breaks and blanks are passed over. False: other letters, or not whole groups. */
bool base64_decode(uint8_t *out, size_t *n_bytes, const char *letters, size_t n);
#endif
