/* pylist.c: see pylist.h. Called by mmmu.c.
 * Source: Python's language reference, "String and Bytes literals". */
#include "eval/bench/pylist.h"

#include <string.h>

#include "kernels/base/utf8.h"

typedef struct Reader {
    const char *at, *end;
} Reader;

static bool pass(Reader *r, char c)
{
    const bool is = r->at < r->end && *r->at == c;
    r->at += is;
    return is;
}

static void pass_blanks(Reader *r)
{
    while (r->at < r->end && strchr(" \t\n\r\f", *r->at) && *r->at)
        r->at++;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
}

/* A number of exactly `least` to `most` digits. */
static bool read_digits(Reader *r, uint32_t base, int least, int most, uint32_t *value)
{
    int n = 0;
    for (*value = 0; n < most && r->at < r->end && (uint32_t)digit_of(*r->at) < base; n++)
        *value = *value * base + (uint32_t)digit_of(*r->at++);
    return n >= least;
}

static size_t put(char *out, uint32_t c)
{
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        c = 0xFFFD;
    return (size_t)utf8_encode(c, out);
}

/* What stands behind a backslash, into out; false: no escape of Python's. */
static bool read_escape(Reader *r, char *out, size_t *n)
{
    static const char NAMES[] = "abfnrtv\\'\"", VALUES[] = "\a\b\f\n\r\t\v\\'\"";
    uint32_t value;
    if (r->at == r->end)
        return false;
    const char c = *r->at++, *name = c ? strchr(NAMES, c) : NULL;
    if (name) {
        out[(*n)++] = VALUES[name - NAMES];
        return true;
    }
    if (c == '\n') /* a line that goes on */
        return true;
    if (c == 'x' || c == 'u' || c == 'U') {
        const int digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        if (!read_digits(r, 16, digits, digits, &value))
            return false;
    } else if (c >= '0' && c <= '7') {
        r->at--;
        (void)read_digits(r, 8, 1, 3, &value);
    } else if (c == 'N') { /* a character by its name */
        return false;
    } else { /* any other stays as it is */
        out[(*n)++] = '\\';
        out[(*n)++] = c;
        return true;
    }
    *n += put(out + *n, value);
    return true;
}

static bool read_text(Pool *pool, Reader *r, Span *text)
{
    const char quote = r->at < r->end ? *r->at : 0;
    if (quote != '\'' && quote != '"')
        return false;
    r->at++;
    char *out = pool_push(pool, (size_t)(r->end - r->at) + 4); /* no escape is shorter than what it means */
    size_t n = 0;
    while (out && r->at < r->end && *r->at != quote && *r->at != '\n')
        if (*r->at != '\\')
            out[n++] = *r->at++;
        else if (r->at++, !read_escape(r, out, &n))
            return false;
    *text = (Span){out ? out : "", n};
    return out && pass(r, quote);
}

bool py_list(Pool *pool, Span text, Spans *out)
{
    text = py_strip(text);
    Reader r = {text.s, text.s + text.n};
    *out = (Spans){pool_push(pool, (text.n / 2 + 1) * sizeof *out->item), 0}; /* a text is two quotes at least */
    if (!out->item || !pass(&r, '['))
        return false;
    for (pass_blanks(&r); !pass(&r, ']'); pass_blanks(&r)) {
        if (!read_text(pool, &r, &out->item[out->n++]))
            return false;
        pass_blanks(&r);
        if (!pass(&r, ',') && (r.at == r.end || *r.at != ']'))
            return false;
    }
    return r.at == r.end;
}
