/* mathvista_answer.c: see mathvista_answer.h. Called by mathvista.c.
 * Source: MathVista, evaluation/extract_answer.py and calculate_score.py; the rules of mathvista_extract are ours. */
#include "eval/bench/mathvista_answer.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <utf8proc.h>

#include "kernels/base/utf8.h"

/* ---------------------------------------------------------------- direct answers */

/* What int(text) takes, of any size: what float does, without a fraction or an exponent, and no "inf" or "nan". */
static bool is_int(Span a)
{
    double value;
    for (size_t i = 0; i < a.n; i++)
        if (a.s[i] && strchr(".eEiInN", a.s[i]))
            return false;
    return py_float(a, &value);
}

bool mathvista_is_direct(Span reply, const MathQuestion *q, Span *extraction)
{
    double value;
    *extraction = reply;
    if (!reply.n)
        return true;
    for (int i = 0; i < q->choices.n && q->is_choice; i++)
        if (span_equal(reply, q->choices.item[i]))
            return true;
    return (span_is(q->answer_type, "integer") && is_int(reply)) || (span_is(q->answer_type, "float") && py_float(reply, &value));
}

/* ---------------------------------------------------------------- our rules */

static bool is_letter(char c) { return isalpha((unsigned char)c); }

/* The letter of "(x)" at the start of a text, as a capital; 0: there is none. */
static char bracketed_at(const char *s, size_t n)
{
    return n >= 3 && s[0] == '(' && is_letter(s[1]) && s[2] == ')' ? (char)toupper((unsigned char)s[1]) : 0;
}

static bool is_alnum(uint32_t c)
{
    const utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) || (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

/* Whether the character behind place i, or the one before it, is a letter or digit. */
static bool has_beside(Span a, size_t i, bool behind)
{
    uint32_t c;
    size_t from = behind ? i + 1 : i;
    if (behind ? from >= a.n : !from)
        return false;
    if (!behind)
        for (from--; from > 0 && ((unsigned char)a.s[from] & 0xC0) == 0x80;)
            from--;
    return utf8_decode(a.s + from, a.n - from, &c) && is_alnum(c);
}

/* The last letter in brackets that is a choice, else the last such capital that stands alone; 0: none. */
static char last_letter(Span a, int n_choices)
{
    for (size_t i = a.n; i-- > 0;) {
        const char letter = bracketed_at(a.s + i, a.n - i);
        if (letter && letter - 'A' < n_choices)
            return letter;
    }
    for (size_t i = a.n; i-- > 0;)
        if (a.s[i] >= 'A' && a.s[i] <= 'Z' && a.s[i] - 'A' < n_choices && !has_beside(a, i, false) && !has_beside(a, i, true))
            return a.s[i];
    return 0;
}

static Span extract_choice(Pool *pool, Span reply, const MathQuestion *q)
{
    const char letter = last_letter(reply, q->choices.n);
    if (letter)
        return span_print(pool, "(%c)", letter);
    const Span lower = py_lower(pool, reply);
    size_t longest = 0;
    Span best = reply;
    for (int i = 0; i < q->choices.n; i++) {
        const size_t n = span_chars(q->choices.item[i]);
        if (n > longest && py_contains(lower, py_lower(pool, q->choices.item[i]))) {
            longest = n;
            best = q->choices.item[i];
        }
    }
    return best;
}

static bool digit_at(Span a, size_t i) { return i < a.n && isdigit((unsigned char)a.s[i]); }

static size_t pass_digits(Span a, size_t i)
{
    while (digit_at(a, i))
        i++;
    return i;
}

/* The end of `-?(\d[\d,]*(\.\d+)?|\.\d+)([eE][+-]?\d+)?` at place i; i: no match. */
static size_t pass_number(Span a, size_t i)
{
    const size_t start = i;
    i += i < a.n && a.s[i] == '-';
    const size_t whole = i;
    while (digit_at(a, i) || (i > whole && i < a.n && a.s[i] == ','))
        i++;
    if (i < a.n && a.s[i] == '.' && digit_at(a, i + 1))
        i = pass_digits(a, i + 1);
    if (i == whole)
        return start;
    if (i < a.n && (a.s[i] == 'e' || a.s[i] == 'E')) {
        const size_t digits = i + 1 + (i + 1 < a.n && strchr("+-", a.s[i + 1]) && a.s[i + 1]);
        i = digit_at(a, digits) ? pass_digits(a, digits) : i;
    }
    return i;
}

static Span extract_number(Pool *pool, Span reply)
{
    Span last = SPAN("");
    for (size_t i = 0; i < reply.n;) {
        const size_t end = pass_number(reply, i);
        if (end > i)
            last = (Span){reply.s + i, end - i};
        i = end > i ? end : i + 1;
    }
    return py_replace(pool, last, ",", "");
}

/* The last "[…]" without brackets inside. */
static Span extract_list(Span reply)
{
    for (size_t close = reply.n; close-- > 0;) {
        if (reply.s[close] != ']')
            continue;
        for (size_t open = close; open-- > 0 && reply.s[open] != ']';)
            if (reply.s[open] == '[')
                return (Span){reply.s + open, close + 1 - open};
    }
    return SPAN("");
}

Span mathvista_extract(Pool *pool, Span reply, const MathQuestion *q)
{
    if (q->is_choice)
        return extract_choice(pool, reply, q);
    if (span_is(q->answer_type, "integer") || span_is(q->answer_type, "float"))
        return extract_number(pool, reply);
    return span_is(q->answer_type, "list") ? extract_list(reply) : reply;
}

/* ---------------------------------------------------------------- normalising */

static uint32_t *characters_of(Pool *pool, Span a, size_t *n)
{
    uint32_t *out = pool_push(pool, (a.n + 1) * sizeof *out);
    *n = 0;
    for (size_t i = 0; i < a.n && out;) {
        const int bytes = utf8_decode(a.s + i, a.n - i, &out[*n]);
        ++*n;
        i += bytes ? (size_t)bytes : 1;
    }
    return out;
}

/* Levenshtein's distance, of characters. */
static size_t distance(Pool *pool, Span from, Span to)
{
    size_t n, m;
    const uint32_t *a = characters_of(pool, from, &n), *b = characters_of(pool, to, &m);
    size_t *row = pool_push(pool, (m + 1) * sizeof *row);
    if (!a || !b || !row)
        return 0;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 0; i < n; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < m; j++) {
            const size_t change = diagonal + (a[i] != b[j]), either = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = change < either ? change : either;
        }
    }
    return row[m];
}

static Span nearest_choice(Pool *pool, Span extraction, Spans choices)
{
    size_t least = SIZE_MAX;
    Span best = SPAN("");
    for (int i = 0; i < choices.n; i++) {
        const size_t d = distance(pool, extraction, choices.item[i]);
        if (d < least) {
            least = d;
            best = choices.item[i];
        }
    }
    return best;
}

static Span normalise_choice(Pool *pool, Span extraction, Spans choices)
{
    extraction = py_strip(extraction);
    for (size_t i = 0; i < extraction.n; i++) {
        const char letter = bracketed_at(extraction.s + i, extraction.n - i);
        if (letter) {
            extraction = span_print(pool, "%c", letter);
            break;
        }
    }
    const int which = extraction.n == 1 ? extraction.s[0] - 'A' : -1;
    return which >= 0 && which < choices.n ? choices.item[which] : nearest_choice(pool, extraction, choices);
}

bool mathvista_normalise(Pool *pool, Span extraction, const MathQuestion *q, Span *answer)
{
    double value;
    *answer = extraction;
    if (q->is_choice)
        *answer = normalise_choice(pool, extraction, q->choices);
    else if (span_is(q->answer_type, "integer")) {
        if (!py_float(extraction, &value) || !isfinite(value))
            return false;
        *answer = span_print(pool, "%.0f", trunc(value) + 0.0); /* no sign before a zero */
    } else if (span_is(q->answer_type, "float")) {
        if (!py_float(extraction, &value))
            return false;
        *answer = py_float_text(pool, py_round(pool, value, q->precision));
    }
    return true;
}
