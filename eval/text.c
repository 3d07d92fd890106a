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
