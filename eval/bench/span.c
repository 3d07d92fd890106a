/* span.c: see span.h. Called by the benchmarks. */
#include "eval/bench/span.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

enum { BLOCK_BYTES = 1 << 16, ALIGN = 16 };

/* ---------------------------------------------------------------- memory */

struct PoolBlock {
    PoolBlock *next;
    size_t used, capacity;
    _Alignas(ALIGN) char bytes[];
};

void *pool_push(Pool *p, size_t n)
{
    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    PoolBlock *b = p->blocks;
    if (!b || b->capacity - b->used < n) {
        size_t capacity = n > BLOCK_BYTES ? n : BLOCK_BYTES;
        PoolBlock *more = mem_alloc(sizeof *more + capacity);
        if (!more) {
            p->failed = true;
            return NULL;
        }
        *more = (PoolBlock){.next = b, .capacity = capacity};
        p->blocks = b = more;
    }
    void *out = b->bytes + b->used;
    b->used += n;
    return memset(out, 0, n);
}

void pool_reset(Pool *p)
{
    while (p->blocks && p->blocks->next) {
        PoolBlock *next = p->blocks->next;
        mem_free(p->blocks);
        p->blocks = next;
    }
    if (p->blocks)
        p->blocks->used = 0;
    p->failed = false;
}

void pool_free(Pool *p)
{
    pool_reset(p);
    mem_free(p->blocks);
    *p = (Pool){0};
}

Status pool_status(const Pool *p) { return p->failed ? fail(ERR_NOMEM, "no memory for the texts of a question") : OK; }

/* ---------------------------------------------------------------- spans */

static const Span NONE = {"", 0};

Span span_of(const char *text) { return (Span){text, strlen(text)}; }
bool span_is(Span a, const char *text) { return a.n == strlen(text) && !memcmp(a.s, text, a.n); }
bool span_equal(Span a, Span b) { return a.n == b.n && !memcmp(a.s, b.s, a.n); }

int span_compare(Span a, Span b)
{
    int order = memcmp(a.s, b.s, a.n < b.n ? a.n : b.n);
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

Span span_copy(Pool *p, Span a)
{
    char *out = pool_push(p, a.n + 1);
    return out ? (Span){memcpy(out, a.s, a.n), a.n} : NONE;
}

Span span_join(Pool *p, const Span *parts, int n, const char *between)
{
    size_t bytes = 1, gap = strlen(between), at = 0;
    for (int i = 0; i < n; i++)
        bytes += parts[i].n + gap;
    char *out = pool_push(p, bytes);
    for (int i = 0; i < n && out; i++) {
        memcpy(out + at, between, i ? gap : 0);
        at += i ? gap : 0;
        memcpy(out + at, parts[i].s, parts[i].n);
        at += parts[i].n;
    }
    return out ? (Span){out, at} : NONE;
}

Span span_print(Pool *p, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    char *out = n < 0 ? NULL : pool_push(p, (size_t)n + 1);
    if (out)
        vsnprintf(out, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return out ? (Span){out, (size_t)n} : NONE;
}

size_t span_chars(Span a)
{
    size_t n = 0;
    for (size_t i = 0; i < a.n; i++)
        n += ((unsigned char)a.s[i] & 0xC0) != 0x80;
    return n;
}

/* ---------------------------------------------------------------- Python's str */

/* The character at a.s[at], or its first byte where there is none. */
static int decode(Span a, size_t at, uint32_t *c)
{
    int k = utf8_decode(a.s + at, a.n - at, c);
    if (!k)
        *c = (unsigned char)a.s[at];
    return k ? k : 1;
}

bool py_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
           c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* Letters, and the signs that stand for letters: numerals, ordinals, letters in circles and squares. */
static bool is_cased(uint32_t c)
{
    const utf8proc_int32_t v = (utf8proc_int32_t)c;
    const utf8proc_category_t kind = utf8proc_category(v);
    return kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LL || kind == UTF8PROC_CATEGORY_LT || utf8proc_tolower(v) != v ||
           utf8proc_toupper(v) != v || c == 0xAA || c == 0xBA || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
           (c >= 0x1F170 && c <= 0x1F189);
}

/* Whether the nearest character with case before (step -1) or behind a place has one: Python's rule of the final sigma. */
static bool cased_beside(Span a, size_t at, bool behind)
{
    size_t i = at;
    while (behind ? i < a.n : i > 0) {
        uint32_t c;
        size_t from = i;
        if (!behind)
            for (from--; from > 0 && ((unsigned char)a.s[from] & 0xC0) == 0x80;)
                from--;
        int k = decode(a, from, &c);
        utf8proc_category_t kind = utf8proc_category((utf8proc_int32_t)c);
        bool passed_over = kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_ME || kind == UTF8PROC_CATEGORY_CF ||
                           kind == UTF8PROC_CATEGORY_LM || kind == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' || c == 0xB7 ||
                           c == 0x2019 || c == 0x2018 || c == 0x2024 || c == 0x2027;
        if (!passed_over)
            return is_cased(c);
        i = behind ? from + (size_t)k : from;
    }
    return false;
}

Span py_lower(Pool *p, Span a)
{
    enum { SIGMA = 0x3A3, FINAL_SIGMA = 0x3C2, DOTTED_I = 0x130, GROWTH = 2 };
    char *out = pool_push(p, GROWTH * a.n + 4);
    size_t n = 0;
    for (size_t i = 0; i < a.n && out;) {
        uint32_t c;
        int k = decode(a, i, &c);
        if (c == DOTTED_I)
            n += (size_t)(memcpy(out + n, "i\xCC\x87", 3) ? 3 : 0);
        else if (k == 1 && c >= 0x80)
            out[n++] = a.s[i];
        else if (c == SIGMA && cased_beside(a, i, false) && !cased_beside(a, i + (size_t)k, true))
            n += (size_t)utf8_encode(FINAL_SIGMA, out + n);
        else
            n += (size_t)utf8_encode((uint32_t)utf8proc_tolower((utf8proc_int32_t)c), out + n);
        i += (size_t)k;
    }
    return out ? (Span){out, n} : NONE;
}

Span py_strip(Span a)
{
    utf8_strip(&a.s, &a.n);
    return a;
}

Span py_rstrip_set(Span a, const char *set)
{
    while (a.n && a.s[a.n - 1] && strchr(set, a.s[a.n - 1]))
        a.n--;
    return a;
}

Span py_strip_set(Span a, const char *set)
{
    a = py_rstrip_set(a, set);
    while (a.n && *a.s && strchr(set, *a.s)) {
        a.s++;
        a.n--;
    }
    return a;
}

Span py_replace(Pool *p, Span a, const char *from, const char *to)
{
    const size_t n_from = strlen(from), n_to = strlen(to);
    size_t found = 0, n = 0;
    const char *at = a.s, *end = a.s + a.n, *next;
    for (const char *s = a.s; (s = memmem(s, (size_t)(end - s), from, n_from)); s += n_from)
        found++;
    char *out = pool_push(p, a.n + found * n_to + 1);
    for (; out && at < end; at = next) {
        const char *match = memmem(at, (size_t)(end - at), from, n_from);
        size_t k = (size_t)((match ? match : end) - at);
        memcpy(out + n, at, k);
        n += k;
        memcpy(out + n, to, match ? n_to : 0);
        n += match ? n_to : 0;
        next = match ? match + n_from : end;
    }
    return out ? (Span){out, n} : NONE;
}

static Spans cut(Pool *p, Span a, const char *sep)
{
    Spans out = {NULL, 0};
    const size_t n_sep = sep ? strlen(sep) : 1;
    out.item = pool_push(p, (a.n / n_sep + 1) * sizeof *out.item); /* as many pieces as there can be */
    return out;
}

Spans py_split(Pool *p, Span a)
{
    Spans out = cut(p, a, NULL);
    size_t start = 0;
    for (size_t i = 0; i < a.n && out.item;) {
        uint32_t c;
        int k = decode(a, i, &c);
        if (py_is_space(c)) {
            if (i > start)
                out.item[out.n++] = (Span){a.s + start, i - start};
            start = i + (size_t)k;
        }
        i += (size_t)k;
    }
    if (out.item && a.n > start)
        out.item[out.n++] = (Span){a.s + start, a.n - start};
    return out;
}

Spans py_split_at(Pool *p, Span a, const char *sep)
{
    Spans out = cut(p, a, sep);
    const char *at = a.s, *end = a.s + a.n, *match;
    while (out.item && (match = memmem(at, (size_t)(end - at), sep, strlen(sep)))) {
        out.item[out.n++] = (Span){at, (size_t)(match - at)};
        at = match + strlen(sep);
    }
    if (out.item)
        out.item[out.n++] = (Span){at, (size_t)(end - at)};
    return out;
}

ptrdiff_t py_find(Span a, Span what)
{
    const char *at = memmem(a.s, a.n, what.s, what.n);
    return at ? at - a.s : -1;
}

ptrdiff_t py_rfind(Span a, Span what)
{
    for (size_t i = a.n >= what.n ? a.n - what.n + 1 : 0; i-- > 0;)
        if (!memcmp(a.s + i, what.s, what.n))
            return (ptrdiff_t)i;
    return -1;
}

bool py_contains(Span a, Span what) { return py_find(a, what) >= 0; }
bool py_starts(Span a, const char *with) { return a.n >= strlen(with) && !memcmp(a.s, with, strlen(with)); }
bool py_ends(Span a, const char *with)
{
    size_t n = strlen(with);
    return a.n >= n && !memcmp(a.s + a.n - n, with, n);
}

/* ---------------------------------------------------------------- numbers */

/* Digits with underscores between two of them only, into out without these. *any: there was a digit. */
static bool take_digits(Span a, size_t *i, char *out, size_t *n, bool *any)
{
    for (; *i < a.n; ++*i) {
        char c = a.s[*i];
        if (isdigit((unsigned char)c)) {
            out[(*n)++] = c;
            *any = true;
        } else if (c != '_') {
            return true;
        } else if (*i == 0 || !isdigit((unsigned char)a.s[*i - 1]) || *i + 1 >= a.n || !isdigit((unsigned char)a.s[*i + 1])) {
            return false;
        }
    }
    return true;
}

enum { NUMBER_BYTES = 1024 };

/* The value of a decimal digit of any script, whose digits follow one another from their zero; -1: it is none. */
static int digit_value(uint32_t c)
{
    uint32_t first = c;
    if (utf8proc_category((utf8proc_int32_t)c) != UTF8PROC_CATEGORY_ND)
        return -1;
    while (utf8proc_category((utf8proc_int32_t)first - 1) == UTF8PROC_CATEGORY_ND)
        first--;
    return (int)(c - first) % 10;
}

/* A number as Python's int and float see it: digits as ASCII, no blanks around. False: it is longer than any that is read. */
static bool plain_number(Span a, char out[NUMBER_BYTES], Span *plain)
{
    size_t n = 0;
    a = py_strip(a);
    for (size_t i = 0; i < a.n && n < NUMBER_BYTES - 1; n++) {
        uint32_t c;
        const int k = decode(a, i, &c), value = digit_value(c);
        out[n] = (char)(value >= 0 ? '0' + value : c < 0x80 ? (char)c : '?');
        i += (size_t)k;
    }
    *plain = (Span){out, n};
    return n > 0 && n < NUMBER_BYTES - 1;
}

static bool is_word(Span a, const char *word) { return a.n == strlen(word) && !strncasecmp(a.s, word, a.n); }

bool py_float(Span a, double *out)
{
    char text[NUMBER_BYTES], plain[NUMBER_BYTES];
    size_t n = 0, i = 0;
    bool any = false, exponent = false;
    if (!plain_number(a, plain, &a))
        return false;
    if (a.s[i] == '+' || a.s[i] == '-')
        text[n++] = a.s[i++];
    Span word = {a.s + i, a.n - i};
    if (is_word(word, "inf") || is_word(word, "infinity") || is_word(word, "nan")) {
        double value = is_word(word, "nan") ? NAN : INFINITY;
        *out = *a.s == '-' ? -value : value;
        return true;
    }
    if (!take_digits(a, &i, text, &n, &any))
        return false;
    if (i < a.n && a.s[i] == '.') {
        text[n++] = a.s[i++];
        if ((i < a.n && a.s[i] == '_') || !take_digits(a, &i, text, &n, &any))
            return false;
    }
    if (any && i < a.n && (a.s[i] == 'e' || a.s[i] == 'E')) {
        text[n++] = a.s[i++];
        if (i < a.n && (a.s[i] == '+' || a.s[i] == '-'))
            text[n++] = a.s[i++];
        if ((i < a.n && a.s[i] == '_') || !take_digits(a, &i, text, &n, &exponent) || !exponent)
            return false;
    }
    text[n] = 0;
    if (!any || i != a.n)
        return false;
    *out = strtod(text, NULL);
    return true;
}

bool py_int(Span a, int64_t *out)
{
    char text[NUMBER_BYTES], plain[NUMBER_BYTES];
    size_t n = 0, i = 0;
    bool any = false;
    if (!plain_number(a, plain, &a))
        return false;
    if (a.s[i] == '+' || a.s[i] == '-')
        text[n++] = a.s[i++];
    if (!take_digits(a, &i, text, &n, &any) || !any || i != a.n)
        return false;
    text[n] = 0;
    errno = 0;
    *out = strtoll(text, NULL, 10);
    return errno == 0;
}

Span py_float_text(Pool *p, double value)
{
    char digits[40];
    int exponent, n = 1;
    if (isnan(value))
        return SPAN("nan");
    if (isinf(value))
        return value < 0 ? SPAN("-inf") : SPAN("inf");
    for (; n <= 17; n++) {
        snprintf(digits, sizeof digits, "%.*e", n - 1, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) {
        char *e = strchr(digits, 'e');
        *e = 0;
        return span_print(p, "%se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent));
    }
    int places = n - 1 - exponent > 1 ? n - 1 - exponent : 1;
    return span_print(p, "%.*f", places, value);
}

/* Python rounds the number as it is, to the nearest decimal, as a correct printf does. */
double py_round(Pool *p, double value, int places)
{
    return isfinite(value) ? strtod(span_print(p, "%.*f", places, value).s, NULL) : value;
}
