/* span.h: pieces of text in memory that is freed as a whole, and what Python's str does to them: the official scorers are Python. UTF-8;
 * positions and lengths that scorers compare are of code points where they are of Python's str. Nothing here fails: without memory the
 * results are empty and pool->failed is set, which is asked once a question. */
#ifndef GENLLAVA_EVAL_BENCH_SPAN_H
#define GENLLAVA_EVAL_BENCH_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct Span {
    const char *s; /* not NULL; a NUL behind it where a function of this file made it */
    size_t n;      /* bytes */
} Span;
typedef struct Spans {
    Span *item;
    int n;
} Spans;

typedef struct PoolBlock PoolBlock;
typedef struct Pool {
    PoolBlock *blocks;
    bool failed;
} Pool;
/* Zeroed memory, aligned for anything; NULL without memory. */
void *pool_push(Pool *p, size_t n);
void pool_reset(Pool *p); /* all is given back, one block is kept */
void pool_free(Pool *p);
MUST_USE Status pool_status(const Pool *p); /* ERR_NOMEM where something failed since the last reset */

#define SPAN(literal) ((Span){literal, sizeof(literal) - 1})
Span span_of(const char *text);
bool span_is(Span a, const char *text);
bool span_equal(Span a, Span b);
int span_compare(Span a, Span b); /* by bytes, which is Python's order of str too */
Span span_copy(Pool *p, Span a);
Span span_join(Pool *p, const Span *parts, int n, const char *between);
Span span_print(Pool *p, const char *format, ...) PRINTF_LIKE(2, 3);
size_t span_chars(Span a); /* code points: Python's len */

/* str.lower, str.strip, str.strip(set), rstrip(set): set of ASCII characters. */
Span py_lower(Pool *p, Span a);
Span py_strip(Span a);
Span py_strip_set(Span a, const char *set);
Span py_rstrip_set(Span a, const char *set);
/* str.replace; `from` is not empty. */
Span py_replace(Pool *p, Span a, const char *from, const char *to);
/* str.split(): at runs of white space; str.split(sep). */
Spans py_split(Pool *p, Span a);
Spans py_split_at(Pool *p, Span a, const char *sep);
bool py_contains(Span a, Span what);
/* First or last place of `what` in bytes; -1: none. */
ptrdiff_t py_find(Span a, Span what);
ptrdiff_t py_rfind(Span a, Span what);
bool py_starts(Span a, const char *with);
bool py_ends(Span a, const char *with);
bool py_is_space(uint32_t c); /* str.isspace of one character */
/* What float(text) and int(text) take: blanks around, a sign, underscores between digits, which may be of any script; float also inf,
 * infinity and nan. */
bool py_float(Span a, double *out);
bool py_int(Span a, int64_t *out); /* of those that fit 64 bits */
/* str(float): the shortest that reads back as the same, as Python writes it ("2.0", "1e-07", "nan"). */
Span py_float_text(Pool *p, double value);
double py_round(Pool *p, double value, int places); /* round(value, places) of places from 0 */
#endif
