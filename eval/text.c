/* text.c: a text that may hold NUL, and when two answers are the same (text.h). Called by batch.c and evaluate. */
#include "eval/text.h"

#include <string.h>
#include <utf8proc.h>

#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

static Status no_memory(size_t n) { return fail(ERR_NOMEM, "no memory for a text of %zu bytes", n); }

Status text_copy(Text *out, const char *text, size_t n)
{
    *out = (Text){mem_alloc(n + 1), n};
    if (!out->bytes)
        return no_memory(n);
    memcpy(out->bytes, text, n);
    return OK;
}

Status text_repair(Text *out, const char *text, size_t n, bool *damaged)
{
    size_t at = 0;
    for (int k; at < n && (k = utf8_decode(text + at, n - at, NULL)); at += (size_t)k)
        ;
    if (at == n)
        return text_copy(out, text, n);
    *damaged = true;
    size_t room = strlen(UTF8_REPLACEMENT) * n + 1;
    *out = (Text){.bytes = mem_alloc(room)};
    if (!out->bytes)
        return no_memory(room);
    out->n = utf8_show(out->bytes, room, text, n, UTF8_VALID);
    return OK;
}

/* White space and full stops in any order at the end, as people end an answer. */
static void strip(const char **text, size_t *n)
{
    size_t before;
    do {
        before = *n;
        utf8_strip(text, n);
        while (*n && (*text)[*n - 1] == '.')
            --*n;
    } while (*n < before);
}

/* The characters of text in NFC, *count of them; mem_free. */
static Status compose(utf8proc_int32_t **out, utf8proc_ssize_t *count, const char *text, size_t n)
{
    const utf8proc_option_t nfc = UTF8PROC_COMPOSE | UTF8PROC_STABLE;
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;
    utf8proc_ssize_t room = utf8proc_decompose(bytes, (utf8proc_ssize_t)n, NULL, 0, nfc);
    if (room < 0)
        return fail(ERR_DATA, "an answer is not UTF-8");
    *out = mem_alloc(((size_t)room + 1) * sizeof **out);
    if (!*out)
        return no_memory((size_t)room * sizeof **out);
    utf8proc_decompose(bytes, (utf8proc_ssize_t)n, *out, room, nfc);
    *count = utf8proc_normalize_utf32(*out, room, nfc);
    return OK;
}

enum { FOLDED = 8 }; /* characters that one becomes; Unicode has 3 at most */

static size_t fold(utf8proc_int32_t c, char out[4 * FOLDED])
{
    utf8proc_int32_t folded[FOLDED];
    int bound = 0;
    utf8proc_ssize_t count = utf8proc_decompose_char(c, folded, FOLDED, UTF8PROC_CASEFOLD, &bound);
    size_t n = 0;
    for (utf8proc_ssize_t i = 0; i < count && i < FOLDED; i++)
        n += (size_t)utf8_encode((uint32_t)folded[i], out + n);
    return n;
}

Status text_normalise(Text *out, const char *text, size_t n)
{
    utf8proc_int32_t *composed = NULL;
    utf8proc_ssize_t count = 0;
    char folded[4 * FOLDED];
    *out = (Text){.n = 0};
    strip(&text, &n);
    Status s = compose(&composed, &count, text, n);
    size_t total = 0;
    for (utf8proc_ssize_t i = 0; !s && i < count; i++)
        total += fold(composed[i], folded);
    out->bytes = s ? NULL : mem_alloc(total + 1);
    if (!s && !out->bytes)
        s = no_memory(total);
    for (utf8proc_ssize_t i = 0; !s && i < count; i++) {
        size_t k = fold(composed[i], folded);
        memcpy(out->bytes + out->n, folded, k);
        out->n += k;
    }
    mem_free(composed);
    return s;
}

int text_compare(const Text *a, const Text *b)
{
    int order = memcmp(a->bytes, b->bytes, a->n < b->n ? a->n : b->n);
    return order ? order : (a->n > b->n) - (a->n < b->n);
}
