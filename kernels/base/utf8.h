/* utf8.h: characters in bytes, strictly: no overlong forms, no surrogates, nothing above U+10FFFF; and text from anywhere made fit to be
 * shown. */
#ifndef GENLLAVA_KERNELS_BASE_UTF8_H
#define GENLLAVA_KERNELS_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD, three bytes */

/* Bytes of the character at p[0..n), its code point in *c (may be NULL); 0 when there is none or the bytes are not UTF-8. */
int utf8_decode(const char *p, size_t n, uint32_t *c);
/* Writes c's bytes (1 to 4) to out and returns how many. */
int utf8_encode(uint32_t c, char out[4]);
/* The white space of Python's str.strip and str.split: Unicode's, and the separators 0x1C to 0x1F. */
bool utf8_is_space(uint32_t c);
/* Python's str.strip: moves *text and shortens *n past the white space at both ends. */
void utf8_strip(const char **text, size_t *n);
/* Whether `text` ends with `end`. */
bool utf8_ends(const char *text, const char *end);
/* n without the bytes of a last character that was cut off. */
size_t utf8_whole(const char *text, size_t n);
/* Characters of `text`: columns that it takes, where each takes one. */
int utf8_columns(const char *text, size_t n);

/* Text that others wrote (names, rows, answers) is shown in one of these forms, all valid UTF-8. The first three hold nothing that a
 * terminal obeys or that turns the order of a line around: not the controls U+0000 to U+001F and U+007F to U+009F, the line separators
 * U+2028 and U+2029, and the embeddings, overrides and isolates U+202A to U+202E and U+2066 to U+2069. For people these become \x1b or
 * \u202e, bytes that are not UTF-8 \xe9. */
typedef enum Utf8Form {
    UTF8_TEXT, /* for people; line feeds and tabs stay */
    UTF8_LINE, /* for people, on one line: those are \n and \t */
    UTF8_JSON, /* the inside of a JSON string: \u001b; bytes that are not UTF-8 become U+FFFD, as many as Python's decode(errors="replace")
                  writes */
    UTF8_VALID /* everything stays as it is but such bytes */
} Utf8Form;
/* Writes as much of text[0..n) to out as fits into `room` bytes with the NUL, never a part of a character; returns the bytes before the
 * NUL. */
size_t utf8_show(char *out, size_t room, const char *text, size_t n, Utf8Form form);
void utf8_put(FILE *out, const char *text, size_t n, Utf8Form form);
/* A cell of a table: `text` up to its NUL on one line, then blanks up to `width` columns. */
void utf8_cell(FILE *out, const char *text, int width);

#ifdef __cplusplus
}
#endif
#endif
