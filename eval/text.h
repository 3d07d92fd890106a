/* text.h: a text that may hold NUL. */
#ifndef GENLLAVA_EVAL_TEXT_H
#define GENLLAVA_EVAL_TEXT_H

#include <stddef.h>

#include "kernels/base/status.h"

typedef struct Text {
    char *bytes; /* NUL behind them, and perhaps among them; mem_free */
    size_t n;
} Text;
MUST_USE Status text_copy(Text *out, const char *text, size_t n);
#endif
