/* mmmu_reply.c: see mmmu_reply.h. Called by mmmu.c. The regular expressions are matched by hand, with the backtracking that matters.
 * Source: MMMU, mmmu/utils/eval_utils.py. */
#include "eval/bench/mmmu_reply.h"

#include <string.h>
#include <utf8proc.h>

#include "kernels/base/utf8.h"

enum { LEAST_WORDS = 6, DECIMALS = 2 };

/* ---------------------------------------------------------------- multiple choice */

/* Keeps, of the n options, those that occur as OPEN letter CLOSE; the one that begins last is *last. */
static int find_letters(Pool *pool, Span reply, int n, char open, char close, char *last)
{
    ptrdiff_t latest = -1;
    int found = 0;
    for (int i = 0; i < n; i++) {
        const ptrdiff_t at = py_rfind(reply, span_print(pool, "%c%c%c", open, 'A' + i, close));
        found += at >= 0;
        if (at > latest) {
            latest = at;
            *last = (char)('A' + i);
        }
    }
    return found;
}

static char find_texts(Pool *pool, Span reply, Spans options)
{
    ptrdiff_t latest = -1;
    char letter = 0;
    reply = py_lower(pool, reply);
    for (int i = 0; i < options.n; i++) {
        const ptrdiff_t at = py_rfind(reply, py_lower(pool, options.item[i]));
        if (at > latest) {
            latest = at;
            letter = (char)('A' + i);
        }
    }
    return letter;
}

char mmmu_letter(Pool *pool, Span reply, Spans options)
{
    static const char *const ENDS[] = {",", ".", "!", "?", ";", ":", "'"};
    char letter = 0;
    for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; i++)
        reply = py_strip_set(reply, ENDS[i]);
    reply = span_join(pool, (const Span[]){SPAN(" "), reply, SPAN(" ")}, 3, "");
    if (find_letters(pool, reply, options.n, '(', ')', &letter) || find_letters(pool, reply, options.n, ' ', ' ', &letter))
        return letter;
    return py_split(pool, reply).n >= LEAST_WORDS ? find_texts(pool, reply, options) : 0;
}

/* ---------------------------------------------------------------- numbers in a text */

/* A text by characters, for regular expressions of Python's. */
typedef struct Characters {
    uint32_t *c;
    size_t *at; /* where each begins; of the one behind the last: the text's end */
    size_t n;
    Span text;
} Characters;

static bool characters_of(Pool *pool, Span text, Characters *x)
{
    *x = (Characters){pool_push(pool, (text.n + 1) * sizeof *x->c), pool_push(pool, (text.n + 1) * sizeof *x->at), 0, text};
    if (!x->c || !x->at)
        return false;
    for (size_t i = 0; i < text.n;) {
        const int bytes = utf8_decode(text.s + i, text.n - i, &x->c[x->n]);
        x->at[x->n++] = i;
        i += bytes ? (size_t)bytes : 1;
    }
    x->at[x->n] = text.n;
    return true;
}

static utf8proc_category_t kind(const Characters *x, size_t i) { return utf8proc_category((utf8proc_int32_t)x->c[i]); }
static bool is(const Characters *x, size_t i, uint32_t c) { return i < x->n && x->c[i] == c; }
static bool is_digit(const Characters *x, size_t i) { return i < x->n && kind(x, i) == UTF8PROC_CATEGORY_ND; }

/* \w: letters, numbers of any kind, the underscore. */
static bool is_word(const Characters *x, size_t i)
{
    if (i >= x->n)
        return false;
    const utf8proc_category_t k = kind(x, i);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) || (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO) ||
           x->c[i] == '_';
}

static bool is_boundary(const Characters *x, size_t i) { return (i > 0 && is_word(x, i - 1)) != is_word(x, i); }

static size_t pass_digits(const Characters *x, size_t i)
{
    while (is_digit(x, i))
        i++;
    return i;
}

static bool is_thousand(const Characters *x, size_t i)
{
    return is(x, i, ',') && is_digit(x, i + 1) && is_digit(x, i + 2) && is_digit(x, i + 3);
}

/* \b\d{1,3}(?:,\d{3})+\b; returns its end, 0: no match. */
static size_t match_grouped(const Characters *x, size_t i)
{
    size_t digits = pass_digits(x, i) - i;
    if (!is_boundary(x, i))
        return 0;
    for (digits = digits < 3 ? digits : 3; digits; digits--) {
        size_t end = i + digits, least = end;
        while (is_thousand(x, end))
            end += 4;
        for (; end > least; end -= 4)
            if (is_boundary(x, end))
                return end;
    }
    return 0;
}

/* [eE][+-]?\d+; returns its end, 0: no match. */
static size_t match_exponent(const Characters *x, size_t i)
{
    if (!is(x, i, 'e') && !is(x, i, 'E'))
        return 0;
    i += is(x, i + 1, '+') || is(x, i + 1, '-') ? 2 : 1;
    return is_digit(x, i) ? pass_digits(x, i) : 0;
}

/* \d+(?:\.\d+)?[eE][+-]?\d+ */
static size_t match_scientific(const Characters *x, size_t i)
{
    if (!is_digit(x, i))
        return 0;
    i = pass_digits(x, i);
    if (is(x, i, '.') && is_digit(x, i + 1))
        i = pass_digits(x, i + 1);
    return match_exponent(x, i);
}

/* (?![eE][+-]?\d+)(?![,\d]) */
static bool may_end(const Characters *x, size_t i) { return !match_exponent(x, i) && !is(x, i, ',') && !is_digit(x, i); }

/* (?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d]) */
static size_t match_simple(const Characters *x, size_t i)
{
    const size_t whole = pass_digits(x, i);
    const size_t end = is(x, whole, '.') && is_digit(x, whole + 1) ? pass_digits(x, whole + 1) : 0;
    if (end && may_end(x, end))
        return end;
    return whole > i && is_boundary(x, whole) && may_end(x, whole) ? whole : 0;
}

typedef size_t (*Match)(const Characters *x, size_t i);

/* re.findall of -?MATCH, added to out. */
static void find_numbers(const Characters *x, Match match, Spans *out)
{
    for (size_t i = 0; i < x->n;) {
        size_t end = is(x, i, '-') ? match(x, i + 1) : 0;
        end = end ? end : match(x, i);
        if (end)
            out->item[out->n++] = (Span){x->text.s + x->at[i], x->at[end] - x->at[i]};
        i = end ? end : i + 1;
    }
}

/* ---------------------------------------------------------------- open answers */

/* A text as it is compared: a number, or one or two strings. */
typedef struct Plain {
    bool is_number;
    double number;
    Span text[2];
    int n;
} Plain;

static Plain plain_of(Pool *pool, Span text)
{
    Plain out = {.n = 1};
    text = py_strip(text);
    out.is_number = py_float(py_replace(pool, text, ",", ""), &out.number);
    if (out.is_number) {
        out.number = py_round(pool, out.number, DECIMALS);
        return out;
    }
    out.text[0] = py_lower(pool, text);
    if (span_chars(out.text[0]) == 1) { /* alone it would be found in every word */
        out.text[1] = span_join(pool, (const Span[]){out.text[0], SPAN(" ")}, 2, "");
        out.text[0] = span_join(pool, (const Span[]){SPAN(" "), out.text[0]}, 2, "");
        out.n = 2;
    }
    return out;
}

/* What stands behind the last of a sentence's words that announce an answer: the shortest such tail; without bytes: none. */
static Span tail_of(Span part, bool is_last)
{
    static const char *const WORDS[] = {"could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ", "="};
    const size_t n = sizeof WORDS / sizeof *WORDS - !is_last; /* an equation only in the last */
    Span best = SPAN("");
    for (size_t i = 0; i < n; i++) {
        const Span word = span_of(WORDS[i]);
        const ptrdiff_t at = py_rfind(part, word);
        if (at < 0)
            continue;
        const Span tail = py_strip((Span){part.s + at + word.n, part.n - (size_t)at - word.n});
        if (!best.n || span_chars(tail) < span_chars(best))
            best = tail;
    }
    return best.n == 1 && *best.s && strchr(":,.!?;'", *best.s) ? SPAN("") : best;
}

static Spans tails_of(Pool *pool, Span reply)
{
    reply = py_lower(pool, py_strip_set(py_strip(reply), "."));
    Spans parts = py_split_at(pool, reply, "\n"), out = {parts.item, 0};
    for (int i = 0; i < parts.n; i++) {
        const Span tail = tail_of(parts.item[i], i == parts.n - 1);
        if (tail.n)
            out.item[out.n++] = tail;
    }
    if (!out.n && out.item)
        out.item[out.n++] = reply;
    return out;
}

static bool is_one_of(Pool *pool, Span text, Spans answers)
{
    const Plain said = plain_of(pool, text);
    for (int i = 0; i < answers.n; i++) {
        const Plain wanted = plain_of(pool, answers.item[i]);
        if (said.is_number != wanted.is_number)
            continue;
        if (said.is_number && said.number == wanted.number)
            return true;
        for (int k = 0; k < said.n * wanted.n && !said.is_number; k++)
            if (py_contains(said.text[k / wanted.n], wanted.text[k % wanted.n]))
                return true;
    }
    return false;
}

bool mmmu_is_right(Pool *pool, Span reply, Spans answers)
{
    const Spans tails = tails_of(pool, reply);
    for (int i = 0; i < tails.n; i++) {
        Characters x;
        Spans numbers = {pool_push(pool, 3 * (tails.item[i].n + 1) * sizeof *numbers.item), 0};
        if (is_one_of(pool, tails.item[i], answers))
            return true;
        if (!numbers.item || !characters_of(pool, tails.item[i], &x))
            return false;
        find_numbers(&x, match_grouped, &numbers);
        find_numbers(&x, match_scientific, &numbers);
        find_numbers(&x, match_simple, &numbers);
        for (int k = 0; k < numbers.n; k++)
            if (is_one_of(pool, numbers.item[k], answers))
                return true;
    }
    return false;
}
