/* scores.h: what a benchmark found out: numbers by name, in the order they were added; as a table and as JSON. */
#ifndef GENLLAVA_EVAL_BENCH_SCORES_H
#define GENLLAVA_EVAL_BENCH_SCORES_H

#include <stdio.h>

#include "data/formats/json_write.h"
#include "eval/bench/span.h"

/* Numbers are those of the official script before its own rounding, in percent (MME: points). NaN is null in JSON. */
typedef struct Score {
    const char *key;
    double value;
    double low, high; /* 95 % interval; NaN: none */
} Score;

typedef struct Count {
    const char *key;
    int64_t n;
} Count;

typedef struct Scores {
    Pool pool;
    Score *score; /* the first is the benchmark's own */
    Count *parse; /* how answers could be read */
    int n_scores, n_parse, room, parse_room;
    int64_t n, n_missing; /* questions scored; of them without an answer */
    int64_t n_no_picture; /* … and with one that was given without its picture, which could not be read */
    bool failed;          /* there was no memory */
    int decimals;         /* of the table; 0: two */
} Scores;
void scores_free(Scores *s);
MUST_USE Status scores_status(const Scores *s);

/* key: a format ("question_type/%s"). */
void scores_add(Scores *s, double value, const char *key, ...) PRINTF_LIKE(3, 4);
/* 100·right/n, with the Wilson interval; n 0: 0 and none. */
void scores_share(Scores *s, int64_t right, int64_t n, const char *key, ...) PRINTF_LIKE(4, 5);
/* 100·mean of n values from 0 to 1, with the 95 % interval of 1000 seeded bootstrap resamples; n 0: 0 and none. */
void scores_mean(Scores *s, const double *values, int64_t n, const char *key, ...) PRINTF_LIKE(4, 5);
void scores_count(Scores *s, int64_t n, const char *key);

/* ---- groups: questions by a name that the files give, in order of first mention */
typedef struct Group {
    Span name;
    int64_t right, n;
    double sum;
} Group;
typedef struct Groups {
    Group *item;
    int n, room;
} Groups;
/* The group of that name, a new one if need be (its name is copied into s->pool); NULL: no memory, s->failed. */
Group *groups_at(Scores *s, Groups *g, Span name);
void groups_free(Groups *g);
/* Adds PREFIX/NAME of each: its share of right ones. */
void groups_share(Scores *s, const Groups *g, const char *prefix);
/* Adds PREFIX/NAME of each: 100·sum/n. */
void groups_mean(Scores *s, const Groups *g, const char *prefix);

/* {"bench","split","n","n_missing","n_duplicate","score","scores":{…},"parse":{…},"config":{…},"intervals":{key:[low,high]}} */
MUST_USE Status scores_json(cJSON **out, const Scores *s, const char *bench, const char *split, int64_t n_duplicate);
/* A table for people, two decimals. */
void scores_print(FILE *out, const Scores *s, const char *bench, const char *split, int64_t n_duplicate);
#endif
