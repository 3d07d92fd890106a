/* nfc.c: composed, lower-cased text (nfc.h). Called by clip_tokenizer.c. */
#include "data/text/nfc.h"

#include <stdint.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

enum { DECOMPOSED_MAX = 18, LOWER_MAX = 2, UTF8_MAX = 4 }; /* characters that one becomes; bytes of one */

/* A character of a run that has to be ordered by combining class, and its place before. */
typedef struct Mark {
    utf8proc_int32_t c;
    int32_t class;
    size_t at;
} Mark;

static int compare_marks(const void *a, const void *b)
{
    const Mark *x = a, *y = b;
    return x->class != y->class ? (x->class > y->class) - (x->class < y->class) : (x->at > y->at) - (x->at < y->at);
}

static int32_t combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

/* Decomposes every character; returns how many there are. c: NULL only counts. */
static size_t decompose(utf8proc_int32_t *c, const char *text, size_t n)
{
    utf8proc_int32_t parts[DECOMPOSED_MAX];
    size_t count = 0;
    for (size_t at = 0; at < n;) {
        uint32_t from = 0xFFFD;
        int length = utf8_decode(text + at, n - at, &from), bound = 0;
        at += length ? (size_t)length : 1;
        utf8proc_ssize_t k =
            utf8proc_decompose_char((utf8proc_int32_t)from, parts, DECOMPOSED_MAX, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &bound);
        for (utf8proc_ssize_t i = 0; i < k; i++, count++)
            if (c)
                c[count] = parts[i];
    }
    return count;
}

/* Runs of combining characters are sorted by class: utf8proc_decompose would insert them one by one, in quadratic time. */
static Status order_marks(utf8proc_int32_t *c, size_t n)
{
    for (size_t from = 0, to; from < n; from = to + 1) {
        bool ordered = true;
        for (to = from; to < n && combining_class(c[to]); to++)
            ordered = ordered && (to == from || combining_class(c[to - 1]) <= combining_class(c[to]));
        if (ordered)
            continue;
        Mark *run = mem_alloc((to - from) * sizeof *run);
        if (!run)
            return fail(ERR_NOMEM, "no memory to order %zu combining characters", to - from);
        for (size_t i = from; i < to; i++)
            run[i - from] = (Mark){c[i], combining_class(c[i]), i};
        qsort(run, to - from, sizeof *run, compare_marks);
        for (size_t i = from; i < to; i++)
            c[i] = run[i - from].c;
        mem_free(run);
    }
    return OK;
}

/* Writes c's lower case; returns its bytes. U+0130 is the one character that becomes two. */
static int put_lower(char *out, utf8proc_int32_t c)
{
    enum { CAPITAL_I_WITH_DOT = 0x130, DOT_ABOVE = 0x307 };
    if (c != CAPITAL_I_WITH_DOT)
        return utf8_encode((uint32_t)utf8proc_tolower(c), out);
    *out = 'i';
    return 1 + utf8_encode(DOT_ABOVE, out + 1);
}

Status nfc_lower(char **out, size_t *length, const char *text, size_t n)
{
    size_t count = decompose(NULL, text, n), at = 0;
    utf8proc_int32_t *c = mem_alloc((count + 1) * sizeof *c);
    *out = mem_alloc(count * UTF8_MAX * LOWER_MAX + 1);
    Status s = c && *out ? OK : fail(ERR_NOMEM, "no memory for a text of %zu bytes", n);
    if (!s) {
        decompose(c, text, n);
        s = order_marks(c, count);
    }
    utf8proc_ssize_t composed = s ? 0 : utf8proc_normalize_utf32(c, (utf8proc_ssize_t)count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < composed; i++)
        at += (size_t)put_lower(*out + at, c[i]);
    mem_free(c);
    *length = at;
    if (s) {
        mem_free(*out);
        *out = NULL;
    }
    return s;
}
