/* tsv.h: a table of tab-separated fields as pandas reads it (read_table): a header, fields in quotes that may hold tabs, line breaks and ""
 * for a quote, texts that mean that nothing is there. Called by mmbench.c. */
#ifndef GENLLAVA_EVAL_BENCH_TSV_H
#define GENLLAVA_EVAL_BENCH_TSV_H

#include "eval/bench/span.h"

typedef struct Tsv {
    char *bytes; /* of the file; fields lie in it */
    Span *field; /* [n_rows][n_columns], the header first */
    int *line;   /* [n_rows] where each begins */
    int64_t n_rows, n_columns, room;
} Tsv;

/* A row that has not as many fields as the header, a quote that nothing closes, no header at all: ERR_DATA, FILE:LINE. */
MUST_USE Status tsv_read(Tsv *t, const char *path);
void tsv_free(Tsv *t);
int tsv_column(const Tsv *t, const char *name); /* -1: none */
/* What pandas reads as missing. */
bool tsv_is_missing(Span field);
#endif
