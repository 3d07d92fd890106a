/* asking.h: the questions of a benchmark while they are asked. Private to ask.c, ask_questions.c and ask_file.c. */
#ifndef GENLLAVA_EVAL_ASKING_H
#define GENLLAVA_EVAL_ASKING_H

#include <limits.h>
#include <stdio.h>

#include "data/formats/lock.h"
#include "eval/ask.h"
#include "kernels/base/table.h"

/* A question and its answer; texts lie in the pool. */
typedef struct Item {
    Span id, prompt, suffix, after_id, after_text;
    Span image, bytes; /* path or file; both empty: no picture */
    Span text;
    bool number, answered;
    bool no_picture; /* … its picture is missing or broken, so the text is empty */
    uint64_t key;    /* its "answer_id": of id and prompt, since a benchmark may repeat an id with other questions */
    int64_t picture; /* the first item with the same picture; of one without any: itself */
} Item;

typedef struct Asking {
    const AskOptions *options;
    const BenchData *data;
    Answerer *answerer;
    AskCounts *counts;
    Pool pool;
    Item *item;
    int64_t n, room;
    Table by_key;   /* item + 1; those that are alike have keys that follow each other, in order */
    bool *known;    /* [n] that are answered already */
    int64_t *order; /* items to be asked, one picture after the other */
    int64_t n_order;
    RecordTurn turn; /* of the present question */
    Span asked;
    Pool scratch;
    uint8_t *pixels;
    int64_t loaded; /* the picture in pixels, -1: none … */
    int64_t broken; /* … and the one that could not be read */
    char partial[PATH_MAX];
    Lock lock; /* of it */
    FILE *out;
    char *told; /* of a rank but the first: what it has to tell that one, in told_n of told_room bytes */
    size_t told_n, told_room;
    int64_t begin; /* in `order`: of what is asked now */
} Asking;

/* ---- ask_questions.c */
/* All questions that are asked, which picture each has, and their keys. */
MUST_USE Status asking_read(Asking *k, const Bench *b);
/* The first item of that key without an answer; NULL: none. */
Item *asking_find_open(Asking *k, uint64_t key);
bool asking_has_picture(const Item *i);
MUST_USE Status asking_no_memory(const Asking *k);

/* ---- ask_file.c */
/* Locks o->out.partial, takes the answers that are there, and opens it behind them. */
MUST_USE Status asking_open(Asking *k);
/* A line of a file. */
MUST_USE Status asking_put(const Asking *k, FILE *out, const Item *i, const char *path);
/* All answers in their order to o->out; the partial file goes. */
MUST_USE Status asking_publish(const Asking *k);
#endif
