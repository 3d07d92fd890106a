/* text.c: a text that may hold NUL (text.h). Called by batch.c and evaluate. */
#include "eval/text.h"

#include <string.h>

#include "kernels/base/arena.h"

Status text_copy(Text *out, const char *text, size_t n)
{
    *out = (Text){mem_alloc(n + 1), n};
    if (!out->bytes)
        return fail(ERR_NOMEM, "no memory for a text of %zu bytes", n);
    memcpy(out->bytes, text, n);
    return OK;
}
