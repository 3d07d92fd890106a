/* utf8.h: characters in bytes, strictly: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef GENLLAVA_DATA_FORMATS_UTF8_H
#define GENLLAVA_DATA_FORMATS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD, three bytes */

/* Bytes of the character at p[0..n), its code point in *c (may be NULL); 0 when there is none or the bytes are not UTF-8. */
int utf8_decode(const char *p, size_t n, uint32_t *c);
/* Writes c's bytes (1 to 4) to out and returns how many. */
int utf8_encode(uint32_t c, char out[4]);
/* The white space of Python's str.strip: Unicode's, and the separators 0x1C to 0x1F. */
bool utf8_is_space(uint32_t c);
/* Python's str.strip: moves *text and shortens *n past the white space at both ends. */
void utf8_strip(const char **text, size_t *n);
/* Whether `text` ends with `end`. */
bool utf8_ends(const char *text, const char *end);

#ifdef __cplusplus
}
#endif
#endif
