/* text.h: a text that may hold NUL, and when two answers are the same. */
#ifndef GENLLAVA_EVAL_TEXT_H
#define GENLLAVA_EVAL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/status.h"

typedef struct Text {
    char *bytes; /* NUL behind them, and perhaps among them; mem_free */
    size_t n;
} Text;
MUST_USE Status text_copy(Text *out, const char *text, size_t n);
/* As text_copy, with bytes that are not UTF-8 replaced by U+FFFD; *damaged (set then, else left alone) says that there were some. */
MUST_USE Status text_repair(Text *out, const char *text, size_t n, bool *damaged);
/* Two answers are the same when these are: without white space at both ends (Python's str.strip) and full stops at the end, then Python's
 * unicodedata.normalize("NFC", s).casefold(). text: UTF-8. */
MUST_USE Status text_normalise(Text *out, const char *text, size_t n);
/* The order of bytes; 0: equal. */
int text_compare(const Text *a, const Text *b);
#endif
