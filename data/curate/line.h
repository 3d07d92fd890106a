/* line.h: a line of JSON that is put together piece by piece, in memory that is used again for the next one. Called by request. */
#ifndef GENLLAVA_DATA_CURATE_LINE_H
#define GENLLAVA_DATA_CURATE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

/* Zero it to begin with. What is put after memory was short is lost; line_check tells. */
typedef struct Line {
    char *text;
    size_t n, room;
    bool no_memory;
} Line;

void line_put(Line *l, const char *text, size_t n);
void line_print(Line *l, const char *format, ...) PRINTF_LIKE(2, 3);
void line_escape(Line *l, const char *text, size_t n); /* as the inside of a JSON string */
void line_quote(Line *l, const char *text);            /* as a JSON string; NULL: null */
void line_base64(Line *l, const uint8_t *bytes, size_t n);
MUST_USE Status line_check(const Line *l);
void line_free(Line *l);
#endif
