/* wording.c: counts, searches and compares texts that models wrote (wording.h). */
#include "data/curate/wording.h"

#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#include "data/record.h"
#include "kernels/base/utf8.h"

int64_t wording_words(const char *text, size_t n)
{
    int64_t words = 0;
    bool inside = false;
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        i += (size_t)utf8_decode(text + i, n - i, &c);
        const bool space = utf8_is_space(c);
        words += !space && !inside;
        inside = !space;
    }
    return words;
}

static bool contains(const char *text, size_t n, const char *what) { return n && memmem(text, n, what, strlen(what)); }

static bool contains_in_any_case(const char *text, size_t n, const char *what)
{
    const size_t k = strlen(what);
    for (size_t i = 0; i + k <= n; i++)
        if (!strncasecmp(text + i, what, k))
            return true;
    return false;
}

const char *wording_marker(const char *text, size_t n)
{
    static const char *const MARKERS[] = {IMAGE_MARKER, GEN_MARKER, "[IMG", "<s>", "</s>", "[INST]", "[/INST]"};
    for (size_t i = 0; i < sizeof MARKERS / sizeof *MARKERS; i++)
        if (contains(text, n, MARKERS[i]))
            return MARKERS[i];
    return NULL;
}

const char *wording_mention(const char *text, size_t n)
{
    static const char *const PHRASES[] = {"caption", "bounding box", "description provided"};
    for (size_t i = 0; i < sizeof PHRASES / sizeof *PHRASES; i++)
        if (contains_in_any_case(text, n, PHRASES[i]))
            return PHRASES[i];
    return NULL;
}

bool wording_is_damaged(const char *text, size_t n) { return contains(text, n, UTF8_REPLACEMENT) || memchr(text, 0, n); }

bool wording_is_foreign(const char *text, size_t n)
{
    int64_t latin = 0, foreign = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        i += (size_t)utf8_decode(text + i, n - i, &c);
        if (c > 0x024F)
            foreign += !((c >= 0x2000 && c <= 0x2BFF) || (c >= 0xFE00 && c <= 0xFE0F) || (c >= 0x1F000 && c <= 0x1FAFF));
        else
            latin += (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c >= 0xC0;
    }
    return foreign * 5 > foreign + latin;
}

/* ---------------------------------------------------------------- forms to compare */

static bool is_end_mark(char c) { return c == '.' || c == '!' || c == '?'; }

static void strip_caption(const char **text, size_t *n)
{
    utf8_strip(text, n);
    while (*n && is_end_mark((*text)[*n - 1]))
        --*n;
    while (*n && is_end_mark(**text))
        ++*text, --*n;
}

bool wording_same_caption(const char *a, size_t n_a, const char *b, size_t n_b)
{
    strip_caption(&a, &n_a);
    strip_caption(&b, &n_b);
    while (n_a && n_b) {
        uint32_t c = 0, d = 0;
        const int k = utf8_decode(a, n_a, &c), m = utf8_decode(b, n_b, &d);
        if (utf8proc_tolower((utf8proc_int32_t)c) != utf8proc_tolower((utf8proc_int32_t)d))
            return false;
        a += k, n_a -= (size_t)k;
        b += m, n_b -= (size_t)m;
    }
    return !n_a && !n_b;
}
