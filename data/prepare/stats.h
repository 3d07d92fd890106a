/* stats.h: what a mixture holds, as prepare --stats tells it. Between the files that collect it (stats.c, stats_texts.c) and the one that
 * writes it (stats_write.c). */
#ifndef GENLLAVA_DATA_PREPARE_STATS_H
#define GENLLAVA_DATA_PREPARE_STATS_H

#include <stdio.h>

#include "data/prepare/parts.h"

enum { STATS_ANSWERS = 20, STATS_PAIRS = 20, STATS_EXAMPLES = 5, N_PERCENTILES = 5 };
extern const int PERCENTILES[N_PERCENTILES];

/* Of tokens with pictures expanded, before rows are cut to data.max_tokens. */
typedef struct Lengths {
    uint32_t least, most, percentile[N_PERCENTILES]; /* the smallest that so many in a hundred do not exceed */
    double mean;
} Lengths;

typedef struct SourceStats {
    int64_t rows[N_TASKS], n; /* those that the shards would hold; n: of all tasks */
    int64_t pictures;         /* distinct names in them */
    int64_t tokens, trained;  /* once rows are cut */
    int64_t cut_rows, near_rows;
    Lengths lengths;
} SourceStats;

typedef struct PictureStats {
    int64_t names, renamed;
    int64_t rejected[N_REASONS]; /* names that cannot be used */
    int64_t files, bytes;        /* different ones among the others */
} PictureStats;

/* Rows of one source that equal rows of an earlier one. */
typedef struct PairStats {
    int source, earlier;
    int64_t rows;
} PairStats;

typedef struct PairList {
    uint32_t *pair; /* source · 2^16 + earlier, of each row */
    size_t n, capacity;
    PairStats most[STATS_PAIRS]; /* the commonest first */
    int n_most;
} PairList;
MUST_USE Status pairs_add(PairList *p, int source, int earlier);
void pairs_sum_up(PairList *p);

/* ---- stats_texts.c: answers, and rows that say and show the same */
typedef struct AnswerStats {
    char *text;
    size_t length;
    int64_t n;
} AnswerStats;

typedef struct EqualRows {
    int64_t row, earlier; /* of the scan's good ones */
    char *uid, *earlier_uid;
} EqualRows;

typedef struct TextStats {
    struct Answer *answers;
    struct Said *said;
    size_t n_answers, answers_capacity, n_said, said_capacity;
    AnswerStats top[STATS_ANSWERS];
    int n_top;
    int64_t equal, equal_across; /* rows that equal an earlier one; one of another source */
    PairList pairs;
    EqualRows examples[STATS_EXAMPLES]; /* across sources */
    int n_examples;
} TextStats;
/* A good row: its number, its unified line and the hash of its pictures' bytes. */
MUST_USE Status texts_add(TextStats *t, int64_t row, int source, const char *line, size_t n, uint64_t pictures);
MUST_USE Status texts_sum_up(TextStats *t, const ScanFiles *scan);
void texts_free(TextStats *t);

/* ---- stats.c */
typedef struct NearExample {
    char *picture, *earlier; /* paths */
    uint32_t number;         /* the picture's in the scan: each is told once */
    int source, earlier_source, bits;
} NearExample;

typedef struct Stats {
    const PrepareOptions *o;
    const ScanFiles *scan;
    SourceStats *sources; /* [mixture's n_sources] */
    int64_t rows, cut_tokens;
    Lengths lengths;
    PictureStats pictures;
    TextStats texts;
    int64_t near_rows, near_same; /* rows that show nearly what an earlier source shows; of them the same file */
    PairList near_pairs;
    NearExample near[STATS_EXAMPLES];
    int n_near;
} Stats;

/* ---- stats_write.c */
MUST_USE Status stats_write(const Stats *s, FILE *out, bool json);
#endif
